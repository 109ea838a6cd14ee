"""Small environments, each a single chunk, prepared together once.

All of them take the same columns of x, those that a sample of any lights, in one order in which
the columns of each piece are consecutive. Parameters are cut to these rows of W_1 once a gradient
and not once a sum: what no sample lights gets no gradient, whatever the inner steps do to it.
"""

import weakref

import numpy as np

from metairm_np.environments._packing import staircase, unpack
from metairm_np.fast.network import Samples
from metairm_np.fast.plan import cut_sizes
from metairm_np.fast.theta import Theta

_found: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


class Small:
    """An environment as the kernels take it.

    Parameters
    ----------
    first, others : list of (x, y, start)
        Pieces: samples, their labels, and where their columns start. Those of `first` take each
        column once; if that is a single one, it is given a column of ones before the others, and
        so are the others.
    """

    def __init__(self, first, others):
        parts, m, self.ones = [], 0, len(first) == 1
        for x, _, start in first + others:
            if self.ones:
                x = np.concatenate((np.ones((len(x), 1), x.dtype), x), axis=1)
            parts.append((x, slice(m, m + len(x)), slice(start, start + x.shape[1])))
            m += len(x)
        self.x, self.dtype = Samples(m, parts, len(first)), x.dtype
        self.y = np.concatenate([y for _, y, _ in first + others])

    def __len__(self):
        return self.x.m


class Whole:
    """A problem whose environments are taken as they are."""

    def __init__(self, envs):
        self.envs = envs

    def theta(self, params, dtype):
        """Return a copy of a list of (W, b) for these environments."""
        return Theta.of(params, dtype)

    def noise(self, steps):
        """Return DropGrad's multipliers for these environments."""
        return steps

    def gradient(self, theta, params):
        """Return a gradient as a list of (dW, db) in the shapes of `params`."""
        return [
            (dW.astype(W.dtype, copy=False), db.astype(b.dtype, copy=False))
            for (dW, db), (W, b) in zip(theta, params)
        ]


class Together(Whole):
    """A problem of small environments.

    Parameters
    ----------
    envs : list of Environment
    step : int
        Rows of a piece, at most.
    """

    def __init__(self, envs, step):
        self.step, self.whose = step, [weakref.ref(env) for env in envs]
        samples = [unpack(env.groups, env.shape) for env in envs]
        first, others, found, start = [[] for _ in envs], [[] for _ in envs], [], 0
        for columns, dense, rows in shared_columns(envs):
            widths = [np.full(len(some), len(columns)) for some in rows]
            if not dense:
                columns, widths = in_order(samples, columns, rows)
            for e, x in enumerate(samples):
                pieces = [
                    (x[some[:, None], columns[:width]], envs[e].y[some], start)
                    for some, width in cuts(rows[e], widths[e], step, len(columns))
                ]
                first[e].append(pieces[0])
                others[e] += pieces[1:]
            found.append(columns)
            start += len(columns)
        self.columns = np.concatenate(found)
        super().__init__([Small(a, b) for a, b in zip(first, others)])

    def is_of(self, envs, step):
        """Return whether it was made of these environments."""
        return step == self.step and envs == [env() for env in self.whose]

    def cut(self, params):
        """Return a list of (W, b) with the rows of W_1 that are taken."""
        (W, b), *others = params
        return [(W.take(self.columns, axis=0), b), *others]

    def theta(self, params, dtype):
        """Return a copy of a list of (W, b) for these environments."""
        return Theta.of(self.cut(params), dtype)

    def noise(self, steps):
        """Return DropGrad's multipliers for these environments."""
        return [[self.cut(multipliers) for multipliers in some] for some in steps]

    def gradient(self, theta, params):
        """Return a gradient as a list of (dW, db) in the shapes of `params`."""
        (dW, db), *others = super().gradient(theta, params)
        whole = np.zeros_like(params[0][0])
        whole[self.columns] = dW
        return [(whole, db), *others]


def shared_columns(envs):
    """Return sets of columns that have none in common, each with the samples that light them.

    Returns
    -------
    list of (columns, dense, rows)
        rows[e] are samples of environment e; `dense` is whether none of their zeros are left out.
    """
    sets = []
    for e, env in enumerate(envs):
        for group in env.groups:
            columns, dense = np.arange(env.shape[1])[group.columns], not group.ones
            rows = [np.empty(0, int) for _ in envs]
            rows[e] = np.concatenate([block.rows for block in group.blocks])
            apart = []
            for one in sets:
                if np.isin(one[0], columns).any():
                    columns, dense = np.union1d(columns, one[0]), dense or one[1]
                    rows = [np.concatenate(both) for both in zip(one[2], rows)]
                else:
                    apart.append(one)
            sets = [*apart, (columns, dense, rows)]
    return sets


def in_order(samples, columns, rows):
    """Return the columns that are lit, in order, and the widths of each environment's samples."""
    filled = [x[some[:, None], columns] != 0 for x, some in zip(samples, rows)]
    order, widths = staircase(np.concatenate(filled))
    ends = np.cumsum([len(some) for some in rows])
    return columns[order[: widths.max()]], np.split(widths, ends[:-1])


def cuts(rows, widths, step, widest):
    """Yield samples and their width, the widest first; their width is `widest`."""
    order = np.argsort(-widths, kind="stable")
    for number, some in enumerate(np.array_split(order, max(1, round(len(rows) / step)))):
        yield rows[some], widths[some[0]] if number else widest


def problem_of(envs, sizes):
    """Return the problem of these environments for a model; one of small environments is kept."""
    longest = max(map(len, envs))
    rows, step = cut_sizes(sizes, envs[0].dtype, longest)
    if longest > rows:
        return Whole(envs)
    problem = _found.get(envs[0])
    if problem is None or not problem.is_of(envs, step):
        problem = _found[envs[0]] = Together(envs, step)
    return problem
