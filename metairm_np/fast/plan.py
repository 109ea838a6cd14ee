"""How an environment is cut: into chunks that stay in cache, and these into parts for threads.

It depends on the data and the widths of the model alone, and is kept as long as the environment.
"""

import weakref
from typing import NamedTuple

import numpy as np

from metairm_np.fast.theta import Theta

CHUNK_BYTES = 2**19  # of the widest layer's values for the samples of a chunk
PIECE = 2**14  # values of the first layer for the samples of a piece, at least
PARTS = 8  # of an environment, if it is large
CHUNKS = 3  # of a part, at least
_plans: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


class Cut(NamedTuple):
    """Samples that a kernel takes at once.

    pieces : list of (x, rows, place)
        See `network.Samples`; x may lack its column of ones.
    y, numbers : (m,) array of int
        The labels, and where the samples are in the environment.
    m : int
        The number of samples.
    before : int
        The number of samples in earlier cuts.
    """

    pieces: list
    y: list
    numbers: list
    m: int
    before: int


class Plan:
    """The cuts of one environment, and the rows of W_1 that they take.

    The rows of each group's columns, below b_1, are copied one group after the other, so that each
    product takes consecutive rows. Groups have no column in common.

    Parameters
    ----------
    env : Environment
    rows : int
        Of a cut, at most.
    step : int
        Rows of a piece, at most: with fewer, pieces are narrower but more.

    Attributes
    ----------
    parts : list of list of Cut
    ones : bool
        Whether x has its column of ones.
    """

    def __init__(self, env, rows, step):
        self.ones = env.groups[0].ones
        self.dense = isinstance(env.groups[0].columns, slice)  # one group of all columns
        cuts, starts, columns = [], [0], np.arange(1, 1 + env.shape[1])
        taken = [] if self.dense else [columns[group.columns] for group in env.groups]
        for rows_of_W in taken[:-1]:
            starts.append(starts[-1] + 1 + len(rows_of_W))
        for start, group in zip(starts, env.groups):
            for block in group.blocks:
                for first in range(0, len(block.y), step):
                    x = block.x[first : first + step]
                    x = narrow(x) if self.ones and len(x) < len(block.x) else x
                    here = slice(first, first + step)
                    add_piece(cuts, x, block.y[here], block.rows[here], start, rows)
        cuts = [c._replace(y=joined(c.y), numbers=joined(c.numbers)) for c in cuts]
        n_parts = max(1, min(PARTS, len(cuts) // CHUNKS))
        # every n_parts-th cut, because the later ones of a group are wider
        self.parts = [cuts[p::n_parts] for p in range(n_parts)]
        if not self.dense:
            self._index(taken, starts, env.shape[1])

    def _index(self, taken, starts, d):
        """Find each row of the copy in b_1 above W_1, and each row of those in the copy.

        The last row of the copy is b_1, but 0 in a sum: the row of columns that no group has.
        """
        zero = np.zeros(1, int)
        self.there = np.concatenate([part for rows in taken for part in (zero, rows)] + [zero])
        self.biases = starts
        self.back = np.full(1 + d, len(self.there) - 1)
        for start, rows in zip(starts, taken):
            self.back[rows] = np.arange(start + 1, start + 1 + len(rows))

    def copy(self, theta):
        """Return theta with the rows of W_1 that the pieces take."""
        if self.dense:
            return theta
        found = Theta.empty((len(self.there) - 1, *theta.sizes[1:]), theta.vector.dtype)
        np.take(theta.layers[0], self.there, axis=0, out=found.layers[0], mode="clip")
        found.after_first[...] = theta.after_first
        return found

    def whole(self, total, sizes):
        """Return a sum in the shape of `copy` as one in the shape of theta."""
        if self.dense:
            return total
        found = Theta.empty(sizes, total.vector.dtype)
        np.take(total.layers[0], self.back, axis=0, out=found.layers[0], mode="clip")
        found.layers[0][0] = total.layers[0][self.biases].sum(axis=0)
        found.after_first[...] = total.after_first
        return found


def joined(parts):
    """Return arrays as one, a view if there is only one."""
    return np.concatenate(parts) if parts[1:] else parts[0]


def add_piece(cuts, x, y, numbers, start, rows):
    """Add samples to the last cut, or to a new one if that has no room."""
    if not cuts or cuts[-1].m + len(x) > rows:
        before = cuts[-1].before + cuts[-1].m if cuts else 0
        cuts.append(Cut([], [], [], 0, before))
    last = cuts[-1]
    here = slice(last.m, last.m + len(x))
    last.pieces.append((x, here, slice(start, start + x.shape[1])))
    last.y.append(y)
    last.numbers.append(numbers)
    cuts[-1] = last._replace(m=here.stop)


def narrow(x):
    """Return x without the columns of zeros at its end."""
    return x[:, : 1 + np.flatnonzero(x.any(axis=0))[-1]]


def cut_sizes(sizes, dtype, n):
    """Return the rows of a chunk and of a piece, at most, for n samples."""
    rows = max(16, CHUNK_BYTES // (max(sizes[1:]) * dtype.itemsize))
    return rows, min(rows, max(PIECE // sizes[1], n // 16))


def plan_of(env, sizes):
    """Return the plan of an environment for a model, made once."""
    rows, step = cut_sizes(sizes, env.dtype, len(env))
    plans = _plans.setdefault(env, {})
    if (rows, step) not in plans:
        plans[rows, step] = Plan(env, rows, step)
    return plans[rows, step]
