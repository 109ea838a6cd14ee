"""Golden vectors, and the suite by which any framework's meta-IRM is held against the spec; see docs/conformance.md."""

from metairm_np.conformance.backends import Fast, Spec
from metairm_np.conformance.pytest_checks import parametrize_with_checks
from metairm_np.conformance.suite import Report, check_backend

__all__ = ["Fast", "Report", "Spec", "check_backend", "parametrize_with_checks"]
