"""One environment: samples and labels drawn from one distribution."""

import copy
from functools import cached_property

import numpy as np

from metairm_np import _checks
from metairm_np.environments import _packing
from metairm_np.environments._packing import Block, Group, consecutive, pack, staircase


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
        If a shape is wrong, a sample is NaN or infinite, a label is negative or not an integer, or
        there is no sample.
    """

    def __init__(self, x, y, *, name="", p_e=None, patch_p=None, label_noise=None):
        x, y = np.asarray(x), np.asarray(y)
        if x.dtype not in (np.float32, np.float64):
            x = x.astype(np.float64)
        if x.ndim != 2 or y.shape != x.shape[:1] or len(y) == 0:
            raise ValueError(
                f"x has shape {x.shape} and y {y.shape}; give x (n, d) and y (n,) with n >= 1"
            )
        if y.dtype.kind not in "iub":
            raise TypeError(
                f"y has dtype {y.dtype}; give integer labels 0..C-1, for instance y.astype(int)"
            )
        if y.min() < 0:
            raise ValueError(f"y holds the label {y.min()}; give labels 0..C-1")
        bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
        if len(bad):
            raise ValueError(
                f"x holds NaN or infinity in {len(bad)} rows, the first is row {bad[0]}; drop or mend them"
            )
        self.x, self.y = _read_only(x), _read_only(y.astype(np.int64, copy=False))
        self.name, self.p_e, self.patch_p, self.label_noise = name, p_e, patch_p, label_noise
        self.shape = x.shape
        order = np.arange(len(y))
        parts = [slice(start, start + _packing.ROWS) for start in range(0, len(y), _packing.ROWS)]
        self.groups = [
            Group(slice(None), False, [Block(self.x[p], self.y[p], order[p]) for p in parts])
        ]  # views, no copies

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

        Raises
        ------
        ValueError, TypeError
            As `Environment`, and if a channel is missing or out of range.
        """
        env, channel = cls(grey, y, **about), np.asarray(channel)
        if channel.shape != env.y.shape:
            raise ValueError(
                f"channel has shape {channel.shape}; give one number for each of {len(env)} samples"
            )
        strange = channel[~np.isin(channel, range(n_channels))]
        if len(strange):
            raise ValueError(
                f"channel holds {strange[0]}; give whole numbers from 0 to {n_channels - 1}"
            )
        order, widths = staircase(grey != 0)
        env.groups, env.shape = [], (len(y), n_channels * grey.shape[1])
        for z in range(n_channels):
            rows = np.flatnonzero(channel == z)
            if len(rows):
                rows = rows[np.argsort(widths[rows], kind="stable")]
                columns = order[: widths[rows[-1]]]
                blocks = pack(env.x[rows][:, columns], env.y[rows], rows, widths[rows])
                env.groups.append(Group(z * grey.shape[1] + columns, True, blocks))
        del env.x
        return env

    @cached_property
    def x(self):
        """The inputs, (n, d)."""
        x = np.zeros(self.shape, self.dtype)
        for columns, ones, blocks in self.groups:
            columns = np.arange(self.shape[1])[columns]
            for block in blocks:
                x[block.rows[:, None], columns[: block.x.shape[1] - ones]] = block.x[:, ones:]
        return _read_only(x)

    @property
    def dtype(self):
        """The type of `x`."""
        return self.groups[0].blocks[0].x.dtype

    def __len__(self):
        return len(self.y)

    def astype(self, dtype):
        """Return the environment with `x` as float32 or float64; itself if it is so already."""
        _checks.dtype(dtype)
        if self.dtype == dtype:
            return self
        groups = []
        for group in self.groups:
            arrays = consecutive([block.x.shape for block in group.blocks], dtype)
            for array, block in zip(arrays, group.blocks):
                array[...] = block.x
            groups.append(
                group._replace(
                    blocks=[b._replace(x=array) for b, array in zip(group.blocks, arrays)]
                )
            )
        return self._with(self.y, groups)

    def take(self, rows):
        """Return the environment of some of its samples; `rows` are their numbers, one or more, each at most once."""
        if len(rows) == 0 or len(np.unique(rows)) < len(rows):
            raise ValueError(
                f"rows holds {len(rows)} numbers, {len(np.unique(rows))} of them different; give one or more, each once"
            )
        place = np.full(len(self), -1)
        place[rows] = np.arange(len(rows))
        groups = []
        for columns, ones, blocks in self.groups:
            few = [Block(*(part[place[b.rows] >= 0] for part in b)) for b in blocks]
            few = [b for b in few if len(b.y)]
            if not few:
                continue
            widths = np.concatenate([np.full(len(b.y), b.x.shape[1] - ones) for b in few])
            x = np.zeros((len(widths), widths[-1]), self.dtype)
            start = 0
            for b in few:
                x[start : start + len(b.y), : b.x.shape[1] - ones] = b.x[:, ones:]
                start += len(b.y)
            y, old = (np.concatenate(parts) for parts in zip(*[(b.y, b.rows) for b in few]))
            groups.append(Group(columns, True, pack(x, y, place[old], widths)))
        return self._with(_read_only(self.y[rows]), groups)

    def _with(self, y, groups):
        """Return a copy with other samples."""
        twin = copy.copy(self)
        twin.y, twin.groups, twin.shape = y, groups, (len(y), self.shape[1])
        vars(twin).pop("x", None)
        return twin


def _read_only(array):
    view = array.view()
    view.flags.writeable = False
    return view
