"""Meta-Learned Invariant Risk Minimization (Bae, Choi and Lee, 2021) in NumPy and HIPS autograd."""

from metairm_np import fast, spec
from metairm_np._version import __version__
from metairm_np.environments import Environment
from metairm_np.mlp import init_mlp

__all__ = ["Environment", "__version__", "fast", "init_mlp", "spec"]
