"""Golden vectors, and the suite that holds any framework's meta-IRM against the spec.

docs/conformance.md explains both.
"""

from metairm_np.conformance.backends import Fast, Spec
from metairm_np.conformance.offer import NotOffered
from metairm_np.conformance.pytest_checks import parametrize_with_checks
from metairm_np.conformance.report import Report
from metairm_np.conformance.suite import check_backend

__all__ = ["Fast", "NotOffered", "Report", "Spec", "check_backend", "parametrize_with_checks"]
