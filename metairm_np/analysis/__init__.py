"""Comparing what networks have learnt."""

from metairm_np.analysis.pwcca import canonical_correlations, pwcca

__all__ = ["canonical_correlations", "pwcca"]
