"""The spec against the same objectives written in JAX."""

import pytest

jax = pytest.importorskip("jax", reason="JAX is not installed: pip install jax")
jax.config.update("jax_enable_x64", True)

from cross_framework.cases import CASES, check  # noqa: E402
from cross_framework.jax_backend import value_and_grad  # noqa: E402


@pytest.mark.parametrize("case", CASES, ids=str)
def test_jax_agrees(case):
    check(value_and_grad, case)
