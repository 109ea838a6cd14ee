"""The command line."""

from metairm_np.cli.main import main

__all__ = ["main"]
