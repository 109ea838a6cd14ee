"""The spec against the same objectives written in PyTorch."""

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

from cross_framework.cases import CASES, check  # noqa: E402
from cross_framework.torch_backend import Backend  # noqa: E402


@pytest.mark.parametrize("case", CASES, ids=str)
def test_pytorch_agrees(case):
    check(Backend().value_and_grad, case)
