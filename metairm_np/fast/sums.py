"""Sums over samples: the parts of a `Plan` run in threads, and their chunks one after the other.

The plan depends on the data and the model alone, and the parts are added in their order: results
have the same bits for any number of threads.
"""

import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from metairm_np.fast import _blas, network
from metairm_np.fast.network import Samples, Workspace
from metairm_np.fast.plan import plan_of
from metairm_np.fast.small import Small
from metairm_np.fast.theta import Theta

CACHE_BYTES = 2**25  # a thread, for activations that are needed again
SMALL = 2**14  # values of the widest layer: for fewer, threads take longer than one alone
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Chunk(NamedTuple):
    """What a kernel gets: samples, and all else cut to the columns of x.

    In thetas and totals, lists of [(W, b), ...], the first W may have b as its first row, and then
    the first b is None. `hidden` are arrays to keep the hidden activations in, where they are
    `known` after another pass at thetas[0]; `kept` is what `outputs` returned then, if that is.
    `numbers` says where the samples are in the environment; small ones have none.
    """

    x: Samples
    y: np.ndarray  # (m,)
    thetas: list
    totals: list
    hidden: list | None
    known: bool
    work: Workspace
    kept: tuple | None = None
    numbers: np.ndarray | None = None

    def outputs(self):
        """Return the `Activations` at thetas[0], the losses and delta."""
        if self.kept is not None:
            return self.kept
        forward = network.forward_from if self.known else network.forward
        activations = forward(self.thetas[0], self.x, self.work, self.hidden)
        return activations, *network.loss_and_slope(activations.f, self.y)


class ActivationCache:
    """Room for the hidden activations of one environment at one theta.

    What does not fit is computed again when needed. The room is this thread's and is used again by
    the next cache, so that only one may be in use at a time. Of a small environment all that
    `Chunk.outputs` returns is kept, in a workspace of its own.
    """

    def __init__(self, theta, env):
        self.env = self.theta = None
        if isinstance(env, Small):
            self.work = workspace(env.dtype, "kept")
            return
        self.widths = theta.sizes[1:-1]
        most = CACHE_BYTES * threads() // env.dtype.itemsize
        self.flat = workspace(env.dtype)("cache", 1, min(most, len(env) * sum(self.widths)))[0]

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
    thetas : list of Theta
        What the kernel needs: the parameters first, then vectors of their shape.
    n_totals : int, default 0
        How many Thetas the kernel adds to.
    cache : ActivationCache, optional
        Where to keep the activations, and where to find them if the last call had the same
        environment and thetas[0].

    Returns
    -------
    number, list of Theta
    """
    if isinstance(env, Small):
        return sum_at_once(kernel, env, thetas, n_totals, cache)
    plan = plan_of(env, thetas[0].sizes)
    known = cache is not None and cache.holds(env, thetas[0])
    copies = [plan.copy(theta) for theta in thetas]

    def run_part(cuts):
        return run(cuts, plan.ones, kernel, n_totals, copies, cache, known)

    with _blas.one_thread():
        done = iter(in_threads(run_part, plan.parts))
        value, sums = next(done)
        for more, totals in done:
            value = value + more
            for one, other in zip(sums, totals):
                one.add(1, other)
    if cache is not None:
        cache.env, cache.theta = env, thetas[0]
    return value, [plan.whole(total, thetas[0].sizes) for total in sums]


def sum_at_once(kernel, env, thetas, n_totals, cache):
    """Return the same for a small environment, without all that large ones need."""
    totals = [Theta.empty(thetas[0].sizes, env.dtype) for _ in range(n_totals)]
    arrays = Theta.bordered if env.ones else list
    layers, sums = list(map(arrays, thetas)), list(map(arrays, totals))
    kept = None
    if cache is not None:
        if not cache.holds(env, thetas[0]):
            chunk = Chunk(env.x, env.y, layers, sums, None, False, cache.work)
            cache.kept, cache.env, cache.theta = chunk.outputs(), env, thetas[0]
        kept = cache.kept
    work = workspace(env.dtype, "small")
    return kernel(Chunk(env.x, env.y, layers, sums, None, False, work, kept)), totals


def run(cuts, ones, kernel, n_totals, copies, cache, known):
    """Return the sums over one part."""
    dtype = copies[0].vector.dtype
    work, value = workspace(dtype), 0.0
    totals = [Theta.zeros(copies[0].sizes, dtype) for _ in range(n_totals)]
    thetas, sums = ([theta.bordered() for theta in many] for many in (copies, totals))
    for pieces, y, numbers, m, before in cuts:
        x = Samples(m, pieces if ones else with_ones(pieces, m, work))
        hidden = cache and cache.arrays(before, m)
        found = known and hidden is not None
        value += kernel(Chunk(x, y, thetas, sums, hidden, found, work, numbers=numbers))
    return value, totals


def with_ones(pieces, m, work):
    """Return the pieces as one, a copy of x with a column of ones before the others."""
    columns = 1 + pieces[0][0].shape[1]
    wider = work("x", m, columns)
    wider[:, 0] = 1
    for x, rows, _ in pieces:
        wider[rows, 1:] = x
    return [(wider, slice(m), slice(columns))]


# ---- threads -------------------------------------------------------------------------------------


def for_each(function, tasks, theta, envs):
    """Yield function(task) for each task, in order; a task is for one environment.

    As many tasks as there are threads run at the same time if environments have too few samples to
    share out, but not so few that threads do not pay. Bits do not depend on it.
    """
    many = min(map(len, envs)) * max(theta.sizes[1:]) >= SMALL
    together = threads() if many and all(single(env, theta) for env in envs) else 1
    for start in range(0, len(tasks), together):
        some = tasks[start : start + together]
        if len(some) == together:
            yield from in_threads(function, some)
        else:
            yield from map(function, some)


def single(env, theta):
    """Return whether the samples of an environment are not shared out."""
    return isinstance(env, Small) or len(plan_of(env, theta.sizes).parts) == 1


def in_threads(function, tasks):
    """Return function(task) for each task; at the same time, or one when the last is taken.

    The latter if there is one thread, or this is one of several already. The caller only waits: a
    caller that takes tasks itself was slower.
    """
    if min(threads(), len(tasks)) == 1 or getattr(_local, "busy", False):
        return map(function, tasks)
    errors = np.geterr()  # threads start with NumPy's defaults, not with the caller's

    def work(task):
        _local.busy = True
        with np.errstate(**errors):
            return function(task)

    return _pool(threads()).map(work, tasks)


@functools.cache
def _pool(n):
    return ThreadPoolExecutor(n, thread_name_prefix="metairm_np")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork

_local = threading.local()


def workspace(dtype, use="work"):
    """Return this thread's workspace for `dtype`."""
    spaces = vars(_local).setdefault("spaces", {})
    if (dtype, use) not in spaces:
        spaces[dtype, use] = Workspace(dtype, new=use == "small")
    return spaces[dtype, use]
