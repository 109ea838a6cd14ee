"""The spec against the same objectives written in JAX."""

import pytest

pytest.importorskip("jax", reason="JAX is not installed: pip install jax")

from cross_framework.cases import CASES, check  # noqa: E402
from cross_framework.jax_backend import Backend  # noqa: E402


@pytest.mark.parametrize("case", CASES, ids=str)
def test_jax_agrees(case):
    check(Backend().value_and_grad, case)
