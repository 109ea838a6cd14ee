"""JAX against the spec."""

import pytest

jax = pytest.importorskip("jax", reason="JAX is not installed: pip install jax")

from cross_framework.jax_backend import Backend  # noqa: E402
from metairm_np.conformance import parametrize_with_checks  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def compiled():
    yield
    jax.clear_caches()  # several GB by then


@pytest.mark.slow
@parametrize_with_checks([Backend()], examples=2)  # JAX compiles each operation anew for each shape
def test_jax(backend, check):
    check(backend)
