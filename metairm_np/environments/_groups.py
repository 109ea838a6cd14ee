"""Samples that come with the names of their environments, and what is held out of each."""

from __future__ import annotations

import numpy as np

from metairm_np import _checks
from metairm_np._seeds import DATA, child

NO_NAMES = ("nan", "None", "NaT", "<NA>")  # what stands where no name is, by its text


def named(groups):
    """Return the names in `groups` (n,), sorted, and for each sample the number of its own, (n,).

    Raises
    ------
    ValueError, TypeError
        If a name is missing, or if some are text and others numbers.
    """
    nameless = [not isinstance(name, str) and str(name) in NO_NAMES for name in groups.tolist()]
    if any(nameless):
        raise ValueError(
            f"groups has no name in {sum(nameless)} rows, the first is row "
            f"{nameless.index(True)}; name the environment of each sample, or leave the rows out"
        )
    try:
        return np.unique(groups, return_inverse=True)
    except TypeError:
        raise TypeError("groups holds both text and numbers; give either alone") from None


def held_out(members, share, seed):
    """Return which samples to hold out, (n,) of bool: `share` of each environment, at random.

    Raises
    ------
    ValueError, TypeError
        If `share` is no number from 0 to 1, or leaves an environment without a sample to train on.
    """
    _checks.number("validation_fraction", share, 0, 1)
    held = np.zeros(len(members), bool)
    for e in range(members.max() + 1):
        rows = np.flatnonzero(members == e)
        n_held = max(1, round(share * len(rows)))
        if n_held >= len(rows):
            raise ValueError(
                f"validation_fraction is {share}, which leaves nothing to train on of an "
                f"environment with so few samples: {len(rows)}; give less, more samples, or "
                "early_stopping=False"
            )
        order = np.random.default_rng(child(seed, DATA, e)).permutation(rows)
        held[order[:n_held]] = True
    return held
