"""PyTorch against the spec."""

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

from cross_framework.torch_backend import Backend  # noqa: E402
from metairm_np.conformance import parametrize_with_checks  # noqa: E402


@pytest.mark.slow
@parametrize_with_checks([Backend()])
def test_pytorch(backend, check):
    check(backend)
