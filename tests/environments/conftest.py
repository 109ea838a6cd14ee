"""Makers of trials, and the folder of the real data."""

import os
from pathlib import Path

import pytest

from metairm_np.environments import colored_mnist, punctuated_sst2, synthetic_digits


@pytest.fixture(scope="session")
def real():
    """Return the folder of the real data."""
    folder = Path(os.environ.get("METAIRM_DATA", "."))
    if not all((folder / name).is_dir() for name in ("sst2", "glove", "mnist")):
        pytest.skip(f"needs sst2, glove and mnist in {folder}: set METAIRM_DATA to such a folder")
    return folder


@pytest.fixture(scope="session", params=["colored", "digits", "sentences", "real sentences"])
def make(request):
    """Return a maker of trials."""

    def text(seed, **options):
        return punctuated_sst2(seed, **{**kind, **options})

    if request.param == "colored":
        return lambda seed, **options: colored_mnist(seed, **{"n_per_env": 500, **options})
    if request.param == "digits":
        return synthetic_digits
    if request.param == "sentences":
        kind = {"source": "synthetic", "dimension": 8}
    else:
        kind = {"dimension": 50, "data_dir": request.getfixturevalue("real")}
    return text
