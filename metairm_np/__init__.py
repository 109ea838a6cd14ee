"""Meta-Learned Invariant Risk Minimization (Bae, Choi and Lee, 2021) in NumPy and HIPS autograd."""

from typing import TYPE_CHECKING

from metairm_np import fast, spec
from metairm_np._version import __version__
from metairm_np.environments import Environment
from metairm_np.mlp import init_mlp

if TYPE_CHECKING:
    from metairm_np.training import Settings, train

__all__ = ["Environment", "Settings", "__version__", "fast", "init_mlp", "spec", "train"]


def __getattr__(name):
    """Return what is imported when it is first asked for."""
    if name in ("Settings", "train"):
        from metairm_np import training

        return getattr(training, name)
    raise AttributeError(f"module 'metairm_np' has no attribute {name!r}")


def __dir__():
    """Return the public names."""
    return __all__
