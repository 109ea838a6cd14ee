"""Comparing what networks have learnt."""

from metairm_np.analysis.decomposition import Decomposition, decomposition
from metairm_np.analysis.pwcca import canonical_correlations, pwcca

__all__ = ["Decomposition", "canonical_correlations", "decomposition", "pwcca"]
