"""Comparing what networks have learnt."""

from metairm_np.analysis.decomposition import (
    Decomposition,
    decomposition,
    effect_of_repainting,
)
from metairm_np.analysis.pwcca import canonical_correlations, pwcca

__all__ = [
    "Decomposition",
    "canonical_correlations",
    "decomposition",
    "effect_of_repainting",
    "pwcca",
]
