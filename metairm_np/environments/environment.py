"""One environment: samples and labels drawn from one distribution."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from metairm_np import _checks
from metairm_np.environments import _packing


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

    def __init__(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        name: str = "",
        p_e: float | None = None,
        patch_p: float | None = None,
        label_noise: float | None = None,
    ):
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
                f"x holds NaN or infinity in {len(bad)} rows, the first is row {bad[0]}; "
                "drop or fix them"
            )
        self.x, self.y = _read_only(x), _read_only(y.astype(np.int64, copy=False))
        self.name, self.p_e, self.patch_p, self.label_noise = name, p_e, patch_p, label_noise
        self.shape = x.shape
        self.groups = _packing.views(self.x, self.y)

    @classmethod
    def painted(
        cls, grey: np.ndarray, channel: ArrayLike, n_channels: int, y: ArrayLike, **about
    ) -> Environment:
        """Make the environment whose sample s is the image grey[s] in its channel channel[s].

        Parameters
        ----------
        grey : (n, p) array
            Images of p pixels.
        channel : (n,) array of int
            From 0 to n_channels - 1; the other channels of the sample are 0.
        n_channels : int
            `x` will have n_channels * p columns, channel-major.
        y, **about
            As for `Environment`.

        Returns
        -------
        Environment

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
        env.groups = _packing.by_channel(env.x, channel, n_channels, env.y)
        env.shape = (len(env), n_channels * env.x.shape[1])
        del env.x
        return env

    @cached_property
    def x(self) -> np.ndarray:
        """The inputs, (n, d)."""
        return _read_only(_packing.unpack(self.groups, self.shape))

    @property
    def dtype(self) -> np.dtype:
        """The type of `x`."""
        return self.groups[0].blocks[0].x.dtype

    def __len__(self) -> int:
        return len(self.y)

    def astype(self, dtype: DTypeLike) -> Environment:
        """Return the environment with `x` in another type.

        Parameters
        ----------
        dtype : {"float64", "float32"}

        Returns
        -------
        Environment
            Itself if `x` is of that type already.

        Raises
        ------
        ValueError
            For another type.
        """
        _checks.dtype(dtype)
        if self.dtype == dtype:
            return self
        return self._with(self.y, _packing.cast(self.groups, dtype))

    def take(self, rows: Sequence[int] | np.ndarray) -> Environment:
        """Return the environment of some of the samples.

        Parameters
        ----------
        rows : (m,) array of int
            The samples' numbers, one or more, each at most once.

        Returns
        -------
        Environment

        Raises
        ------
        ValueError
            If there are no rows, or one is there twice.
        """
        n, n_different = len(rows), len(np.unique(rows))
        if n_different < n or n == 0:
            raise ValueError(
                f"rows holds {n} numbers, {n_different} of them different; "
                "give one or more, each once"
            )
        y = _read_only(self.y[rows])
        return self._with(y, _packing.take(self.groups, rows, len(self)))

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
