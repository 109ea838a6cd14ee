"""One environment: samples and labels drawn from one distribution."""

import copy
from functools import cached_property
from typing import NamedTuple

import numpy as np

from metairm_np import checks


class Group(NamedTuple):
    """Samples of an environment that share their zeros; together the groups of an environment hold each sample once.

    x : (m, c) array
        The inputs in `columns`; the inputs in all other columns are 0. Row s is 0 from its width on, x[s, widths[s]:] = 0.
    y : (m,) array of int
    rows : (m,) array of int
        Where the samples are in the environment's `x` and `y`.
    columns : (c,) array of int, or slice
        Where the inputs are in the rows of `x`.
    widths : (m,) array of int, ascending
    """

    x: np.ndarray
    y: np.ndarray
    rows: np.ndarray
    columns: np.ndarray | slice
    widths: np.ndarray


class Environment:
    """Samples, labels and what is known of how they were made. Immutable.

    Parameters
    ----------
    x : (n, d) array of float64 or float32
        Inputs, finite; other number types become float64.
    y : (n,) array of int
        Labels 0..C-1.
    name : str, optional
    p_e : float, optional
        Probability that the colour disagrees with the label.
    patch_p : float, optional
        The same for the patch.
    label_noise : float, optional
        Probability that the label disagrees with the digit.

    Attributes
    ----------
    x, y : array
        Read-only. For an environment made by `painted`, `x` is put together when first asked for.
    shape : tuple
        (n, d).
    dtype : dtype
        Of `x`.
    groups : list of Group
        The same samples without most of the zeros, as `metairm_np.fast` takes them.

    Raises
    ------
    ValueError, TypeError
        If a shape is wrong, a sample is NaN or infinite, a label is negative or not an integer, or there is no sample.
    """

    def __init__(self, x, y, *, name="", p_e=None, patch_p=None, label_noise=None):
        x, y = np.asarray(x), np.asarray(y)
        if x.dtype not in (np.float32, np.float64):
            x = x.astype(np.float64)
        if x.ndim != 2 or y.shape != x.shape[:1] or len(y) == 0:
            raise ValueError(f"x has shape {x.shape} and y {y.shape}; give x (n, d) and y (n,) with n >= 1")
        if y.dtype.kind not in "iub":
            raise TypeError(f"y has dtype {y.dtype}; give integer labels 0..C-1, for instance y.astype(int)")
        if y.min() < 0:
            raise ValueError(f"y holds the label {y.min()}; give labels 0..C-1")
        bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
        if len(bad):
            raise ValueError(f"x holds NaN or infinity in {len(bad)} rows, the first is row {bad[0]}; drop or mend them")
        self.x, self.y = _read_only(x), _read_only(y.astype(np.int64, copy=False))
        self.name, self.p_e, self.patch_p, self.label_noise = name, p_e, patch_p, label_noise
        self.shape = x.shape
        self.groups = [Group(self.x, self.y, np.arange(len(y)), slice(None), np.full(len(y), x.shape[1]))]

    @classmethod
    def painted(cls, grey, channel, n_channels, y, **about):
        """Make the environment whose sample s has the image grey[s] in its channel channel[s] and 0 in the others.

        Parameters
        ----------
        grey : (n, p) array
            Images of p pixels.
        channel : (n,) array of int
            From 0 to n_channels - 1.
        n_channels : int
            `x` will have n_channels * p columns, channel-major.
        y, **about
            As for `Environment`.
        """
        env = cls(grey, y, **about)
        order, widths = staircase(grey != 0)
        groups = []
        for z in range(n_channels):
            rows = np.flatnonzero(channel == z)
            if len(rows):
                rows = rows[np.argsort(widths[rows], kind="stable")]
                columns = order[: widths[rows[-1]]]
                x = env.x[rows][:, columns]
                groups.append(Group(x, env.y[rows], rows, z * grey.shape[1] + columns, widths[rows]))
        env.groups, env.shape = groups, (len(y), n_channels * grey.shape[1])
        del env.x
        return env

    @cached_property
    def x(self):
        """The inputs, (n, d)."""
        x = np.zeros(self.shape, self.dtype)
        for group in self.groups:
            x[group.rows[:, None], np.arange(self.shape[1])[group.columns]] = group.x
        return _read_only(x)

    @property
    def dtype(self):
        """The type of `x`."""
        return self.groups[0].x.dtype

    def __len__(self):
        return len(self.y)

    def astype(self, dtype):
        """Give the environment with `x` as float32 or float64; itself if it is so already."""
        checks.dtype(dtype)
        return self if self.dtype == dtype else self._with(self.y, [g._replace(x=g.x.astype(dtype)) for g in self.groups])

    def take(self, rows):
        """Give the environment of some of its samples; `rows` are their numbers, each at most once."""
        place = np.full(len(self), -1)
        place[rows] = np.arange(len(rows))
        groups = []
        for x, y, old, columns, widths in self.groups:
            kept = place[old] >= 0
            groups.append(Group(x[kept], y[kept], place[old[kept]], columns, widths[kept]))
        return self._with(_read_only(self.y[rows]), [group for group in groups if len(group.y)])

    def _with(self, y, groups):
        """Give a copy with other samples."""
        twin = copy.copy(self)
        twin.y, twin.groups, twin.shape = y, groups, (len(y), self.shape[1])
        vars(twin).pop("x", None)
        return twin


def staircase(filled):
    """Order columns and measure rows so that the filled places make a staircase with few empty places on its steps.

    The column that is filled in the fewest rows comes last and those rows get its place as their width; then the same
    among the other columns and the rows that are left, and so on.

    Parameters
    ----------
    filled : (n, c) array of bool

    Returns
    -------
    order : (c,) array of int
        The columns; filled[s, order[widths[s]:]] is False.
    widths : (n,) array of int
    """
    n, c = filled.shape
    order, widths = np.empty(c, int), np.zeros(n, int)
    counts = filled.sum(axis=0)  # over the rows left
    left = np.arange(n)
    for place in range(c, 0, -1):
        column = np.argmin(counts)
        here = filled[left, column]
        widths[left[here]] = place
        counts -= filled[left[here]].sum(axis=0)
        counts[column] = n + 1  # so that it is not chosen again
        left = left[~here]
        order[place - 1] = column
    return order, widths


def _read_only(array):
    view = array.view()
    view.flags.writeable = False
    return view
