"""Meta-Learned Invariant Risk Minimization (Bae, Choi and Lee, 2021) in NumPy and HIPS autograd.

What is public here is imported when it is first asked for, so that the command line can begin, and
be interrupted, before NumPy is there.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from metairm_np._version import __version__

if TYPE_CHECKING:
    from metairm_np import fast, spec
    from metairm_np.environments import Environment
    from metairm_np.mlp import init_mlp
    from metairm_np.training import Settings, train

__all__ = ["Environment", "Settings", "__version__", "fast", "init_mlp", "spec", "train"]
# of what is no module itself
HOMES = {
    "Environment": "environments",
    "init_mlp": "mlp",
    "Settings": "training",
    "train": "training",
}


def __getattr__(name):
    """Import a public name, or a module of the package."""
    module = f"{__name__}.{HOMES.get(name, name)}"
    try:
        if name.startswith("_"):
            raise ModuleNotFoundError(name=module)
        found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(found, name) if name in HOMES else found


def __dir__():
    """Return the public names."""
    return __all__
