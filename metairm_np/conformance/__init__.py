"""Golden vectors, and the suite that holds any framework's meta-IRM against the spec.

docs/conformance.md explains both.
"""

from metairm_np.conformance.backends import Fast, Spec
from metairm_np.conformance.offer import NotOffered
from metairm_np.conformance.own_model import ObjectiveReport, check_objective
from metairm_np.conformance.pytest_checks import parametrize_with_checks
from metairm_np.conformance.report import Report
from metairm_np.conformance.suite import check_backend

__all__ = [
    "Fast",
    "NotOffered",
    "ObjectiveReport",
    "Report",
    "Spec",
    "check_backend",
    "check_objective",
    "parametrize_with_checks",
]
