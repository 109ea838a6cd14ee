"""Known mistakes, as copies of the spec with one equation written wrongly."""

from metairm_np.conformance.mistakes import baselines, meta, network, optimizers  # noqa: F401  each enters its own
from metairm_np.conformance.mistakes.catalogue import MISTAKES, Mistake, changed_spec

__all__ = ["MISTAKES", "Mistake", "changed_spec"]
