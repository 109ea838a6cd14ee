"""JAX against the spec."""

import pytest

pytest.importorskip("jax", reason="JAX is not installed: pip install jax")

from cross_framework.jax_backend import Backend  # noqa: E402
from metairm_np.conformance import parametrize_with_checks  # noqa: E402


@parametrize_with_checks([Backend()], examples=2)  # JAX compiles each operation anew for each shape
def test_jax(backend, check):
    check(backend)
