"""Matplotlib, imported where something is drawn: it takes longer than the rest of the package."""

import os
import sys
from contextlib import suppress


def load():
    """Import Matplotlib and return it; MPLBACKEND, of which we use nothing, may be anything.

    As Matplotlib would, it is taken as the backend of those who draw on screens, if it is one.
    """
    backend = None if "matplotlib" in sys.modules else os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend is not None:
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = backend
    return matplotlib
