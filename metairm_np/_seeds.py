"""Random streams: every trial owns one `SeedSequence`, and its parts are addressed by key.

`SeedSequence.spawn` counts its calls, so the same object used twice gives two different answers.
Addressing children by key instead (the numbers `spawn` would give a fresh object) makes each stream
a pure function of the seed.
"""

from __future__ import annotations

import numpy as np

Seed = int | np.random.SeedSequence
# the streams of a trial: its data, first parameters, DropGrad and sampling, audits
DATA, INIT, NOISE, AUDIT = range(4)


def seed_sequence(seed):
    """Return `seed` (an int >= 0 or a `numpy.random.SeedSequence`) as a `SeedSequence`."""
    if isinstance(seed, np.random.SeedSequence):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed is {seed!r}; give an integer >= 0 or a numpy.random.SeedSequence")
    return np.random.SeedSequence(int(seed))


def child(seed, *keys):
    """Return the child of `seed` at `keys`, the same at every call."""
    parent = seed_sequence(seed)
    return np.random.SeedSequence(parent.entropy, spawn_key=(*parent.spawn_key, *keys))
