"""Sums over samples: cut into parts that run in threads, and these into chunks that stay in cache.

How the work is cut depends on the data and the model alone, and the parts are added in their order:
results have the same bits for any number of threads.
"""

import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from metairm_np.environments._packing import Group
from metairm_np.fast import _blas, network
from metairm_np.fast.network import Workspace

CHUNK_BYTES = 2**19  # of the widest layer's values for the samples of a chunk
PARTS = 8  # of an environment, at least, if it has as many chunks
CACHE_BYTES = 2**25  # a thread, for activations that are needed again
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Chunk(NamedTuple):
    """What a kernel gets: samples, and all else cut to the columns of x.

    In thetas and totals, lists of [(W, b), ...], the first W has b as its first row and the first b
    is None. `hidden` are arrays to keep the hidden activations in, where they are `known` after
    another pass at thetas[0].
    """

    x: np.ndarray  # (m, 1 + c), the first column 1
    y: np.ndarray  # (m,)
    thetas: list
    totals: list
    hidden: list | None
    known: bool
    work: Workspace

    def forward(self):
        """Return the `Activations` at thetas[0]."""
        forward = network.forward_from if self.known else network.forward
        return forward(self.thetas[0], self.x, self.work, self.hidden)


class Part(NamedTuple):
    """Some samples of one group, in chunks, and theta for the group's columns."""

    group: Group
    chunks: list  # (x, y, number of samples before them)
    thetas: list


class ActivationCache:
    """Room for the hidden activations of one environment at one theta.

    What does not fit is computed again when needed. The room is this thread's and is used again by
    the next cache, so that only one may be in use at a time.
    """

    def __init__(self, params, envs):
        self.widths = [W.shape[1] for W, _ in params[:-1]]
        most = CACHE_BYTES * threads() // envs[0].dtype.itemsize
        size = min(most, max(map(len, envs)) * sum(self.widths))
        self.flat = workspace(envs[0].dtype)("cache", 1, size)[0]
        self.env = self.theta = None

    def holds(self, env, theta):
        """Return whether the activations are those of `env` at `theta`."""
        return self.env is env and self.theta is theta

    def arrays(self, row, m):
        """Return the arrays (m, H_l) of the samples from `row` on; None if there is no room."""
        start, parts = row * sum(self.widths), []
        for width in self.widths:
            parts.append(self.flat[start : start + m * width])
            start += m * width
        return [a.reshape(m, -1) for a in parts] if start <= len(self.flat) else None


def threads() -> int:
    """Return the number of threads.

    It is that of the first of `THREAD_VARIABLES` that is set to a number, or else the number of
    cores.
    """
    for name in THREAD_VARIABLES:
        value = os.environ.get(name, "")
        if value.isdecimal() and int(value) > 0:
            return int(value)
    return _blas.cores()


def sum_over(kernel, env, thetas, n_totals=0, cache=None):
    """Sum over the samples of an environment.

    Parameters
    ----------
    kernel : callable
        Returns a number, or an array, for a Chunk and adds to its totals.
    env : Environment
    thetas : list of params
        What the kernel needs: the parameters first, then vectors of their shape.
    n_totals : int, default 0
        How many lists of (dW, db) the kernel adds to.
    cache : ActivationCache, optional
        Where to keep the activations, and where to find them if the last call had the same
        environment and thetas[0].

    Returns
    -------
    number, totals
    """
    parts = cut(env, thetas)
    known = cache is not None and cache.holds(env, thetas[0])
    errors = np.geterr()  # threads start with NumPy's defaults, not with the caller's

    def run_part(part):
        with np.errstate(**errors):
            return run(part, kernel, n_totals, cache, known)

    with _blas.one_thread():
        workers = map if len(parts) == 1 or threads() == 1 else _pool(threads()).map
        done = list(workers(run_part, parts))
    if cache is not None:
        cache.env, cache.theta = env, thetas[0]
    sums = [zeros(thetas[0]) for _ in range(n_totals)]
    for part, (_, totals) in zip(parts, done):
        for whole, total in zip(sums, totals):
            add(whole, part.group.columns, total)
    return sum(value for value, _ in done), sums


def cut(env, thetas):
    """Cut an environment into parts."""
    widest = max(W.shape[1] for W, _ in thetas[0])
    rows = max(16, CHUNK_BYTES // (widest * env.dtype.itemsize))
    share = -(-PARTS // len(env.groups))
    parts, before = [], 0
    for group in env.groups:
        chunks = []
        for x, y, _ in group.blocks:
            for start in range(0, len(y), rows):
                chunks.append((x[start : start + rows], y[start : start + rows], before + start))
            before += len(y)
        local = [restrict(theta, group.columns) for theta in thetas]
        # every share-th chunk, because the later ones are wider
        parts += [Part(group, chunks[p::share], local) for p in range(min(share, len(chunks)))]
    return parts


def run(part, kernel, n_totals, cache, known):
    """Return the sums over one part."""
    work, value = workspace(part.chunks[0][0].dtype), 0.0
    totals = [
        [(np.zeros_like(W), b if b is None else np.zeros_like(b)) for W, b in part.thetas[0]]
        for _ in range(n_totals)
    ]
    for x, y, before in part.chunks:
        x = x if part.group.ones else with_ones(x, work)  # (m, 1 + c)
        hidden = cache and cache.arrays(before, len(y))
        thetas, narrow_totals = (
            [narrow(theta, x.shape[1]) for theta in many] for many in (part.thetas, totals)
        )
        found = known and hidden is not None
        value += kernel(Chunk(x, y, thetas, narrow_totals, hidden, found, work))
    return value, totals


def with_ones(x, work):
    """Return a copy of x with a column of ones before the others."""
    wider = work("x", len(x), 1 + x.shape[1])
    wider[:, 0] = 1
    wider[:, 1:] = x
    return wider


def restrict(theta, columns):
    """Return theta with W_1 cut to the rows of `columns` under b_1."""
    (W, b), *rest = theta
    return [(np.concatenate([b[None], W[columns]]), None), *rest]


def narrow(theta, width):
    """Return a `restrict`ed theta with W_1 cut to its first `width` rows, a view."""
    (W, b), *rest = theta
    return [(W[:width], b), *rest]


def add(whole, columns, total):
    """Add a sum in the shape of `restrict` to one in the shape of params."""
    whole[0][0][columns] += total[0][0][1:]
    whole[0][1][...] += total[0][0][0]
    for (W, b), (dW, db) in zip(whole[1:], total[1:]):
        W += dW
        b += db


def zeros(theta):
    """Return zeros in the shapes of theta."""
    return [(np.zeros_like(W), np.zeros_like(b)) for W, b in theta]


@functools.cache
def _pool(n):
    return ThreadPoolExecutor(n, thread_name_prefix="metairm_np")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork

_local = threading.local()


def workspace(dtype):
    """Return this thread's workspace for `dtype`."""
    spaces = vars(_local).setdefault("spaces", {})
    return spaces.setdefault(dtype, Workspace(dtype))
