"""Known mistakes, as copies of the spec with one equation written wrongly."""

from metairm_np.conformance.mistakes import (  # noqa: F401  each enters its own
    environments,
    inner_steps,
    irmv1,
    network,
    noise,
    norm,
    optimizers,
    pairs,
    rex,
    risk,
    sigma,
    training,
    way_back,
)
from metairm_np.conformance.mistakes.catalogue import MISTAKES, Mistake, changed_spec

__all__ = ["MISTAKES", "Mistake", "changed_spec"]
