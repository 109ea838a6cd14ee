"""One environment: samples and labels drawn from one distribution."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from metairm_np import _checks
from metairm_np.environments import _packing

ABOUT = ("name", "p_e", "patch_p", "label_noise")
IMMUTABLE = (
    "{} of an Environment cannot be {}, since it is immutable; make another, Environment(x, y, ...)"
)


class Environment:
    """Samples, labels and what is known of how they were made. Immutable.

    `x` and `y` are copied, unless they and what they are views of are read-only already.

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
    groups : tuple of Group
        The same samples without most of the zeros, as `metairm_np.fast` takes them; read-only.
    drawn_from : (Environment, (n,) array of int) or None
        For an environment made by `resampled`: x is that of the other one in these rows.

    Raises
    ------
    ValueError, TypeError
        If a shape is wrong, a sample is not of real numbers or is NaN or infinite, a label is
        negative, too large or not an integer, an array is masked, or there is no sample.
    AttributeError
        If an attribute is set or deleted.
    """

    name: str
    p_e: float | None
    patch_p: float | None
    label_noise: float | None
    y: np.ndarray
    shape: tuple[int, int]
    drawn_from: tuple[Environment, np.ndarray] | None = None

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
        inputs, labels = map(_packing.sealed, _checked(x, y))
        groups = _packing.views(inputs, labels)
        about = {"name": name, "p_e": p_e, "patch_p": patch_p, "label_noise": label_noise}
        vars(self).update(about, x=inputs, y=labels, groups=groups, shape=inputs.shape)

    def __setattr__(self, name, value):
        raise AttributeError(IMMUTABLE.format(name, "set"))

    def __delattr__(self, name):
        raise AttributeError(IMMUTABLE.format(name, "deleted"))

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
        images, labels = _checked(grey, y)
        channels = _numbers("channel", channel, labels, n_channels)
        labels = _packing.sealed(labels)
        groups = _packing.by_channel(images, channels, n_channels, labels)
        first = cls(images[:1], labels[:1], **about)
        return first._with(labels, n_channels * images.shape[1], groups=groups)

    @classmethod
    def resampled(cls, source: Environment, rows: ArrayLike, y: ArrayLike, **about) -> Environment:
        """Make the environment whose sample s is sample rows[s] of another, with the label y[s].

        For environments with one `source` the risks and accuracies in `metairm_np.fast` take one
        pass over that together.

        Parameters
        ----------
        source : Environment
        rows : (n,) array of int
            Samples of `source`, each as often as you like.
        y, **about
            As for `Environment`.

        Returns
        -------
        Environment

        Raises
        ------
        ValueError, TypeError
            As `Environment`, and if a row is out of range.
        """
        _, labels = _checked(np.zeros((np.size(y), 1)), y)
        places = _numbers("rows", rows, labels, len(source))
        first = cls(np.zeros((1, 1)), labels[:1], **about)
        drawn_from = (source, _packing.sealed(places.astype(np.intp, copy=False)))
        return first._with(_packing.sealed(labels), source.shape[1], drawn_from=drawn_from)

    @cached_property
    def x(self) -> np.ndarray:
        """The inputs, (n, d)."""
        if self.drawn_from:
            source, rows = self.drawn_from
            return _packing.locked(source.x[rows])
        return _packing.locked(_packing.unpack(self.groups, self.shape))

    @cached_property
    def groups(self) -> tuple[_packing.Group, ...]:
        """The samples without most of the zeros."""
        return _packing.views(self.x, self.y)

    @property
    def dtype(self) -> np.dtype:
        """The type of `x`."""
        return self.drawn_from[0].dtype if self.drawn_from else self.groups[0].blocks[0].x.dtype

    def __repr__(self) -> str:
        about = {
            name: getattr(self, name) for name in ABOUT if getattr(self, name) not in ("", None)
        }
        known = "".join(f", {name}={value!r}" for name, value in about.items())
        size = f"{self.shape[0]} samples, {self.shape[1]} columns of {self.dtype}"
        return f"Environment({size}, labels up to {self.y.max()}{known})"

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
        if self.drawn_from:
            source, rows = self.drawn_from
            kept = {"drawn_from": (source.astype(dtype), rows)}
        else:
            kept = {"groups": _packing.cast(self.groups, dtype)}
        return self._with(self.y, self.shape[1], **kept)

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
        groups = _packing.take(self.groups, rows, len(self))
        return self._with(_packing.locked(self.y[rows]), self.shape[1], groups=groups)

    def _with(self, y, n_columns, **samples):
        """Return an environment of other samples, of which the same is known."""
        twin = object.__new__(type(self))
        about = {name: getattr(self, name) for name in ABOUT}
        vars(twin).update(about, y=y, shape=(len(y), n_columns), **samples)
        return twin

    def __copy__(self) -> Environment:
        return self

    def __deepcopy__(self, memo) -> Environment:
        return self

    def __getstate__(self):
        """Return what a pickle holds: one of three, since the others can be made of it."""
        kept = "drawn_from"
        if not self.drawn_from:
            kept = "groups" if self.groups[0].ones else "x"
        return {name: getattr(self, name) for name in (*ABOUT, "shape", "y", kept)}

    def __setstate__(self, state):
        """Take what a pickle held, whose arrays may be writable again."""
        y = _packing.sealed(state["y"])
        if "x" in state:
            x = _packing.sealed(state["x"])
            made = {"x": x, "groups": _packing.views(x, y)}
        elif "drawn_from" in state:
            source, rows = state["drawn_from"]
            made = {"drawn_from": (source, _packing.sealed(rows))}
        else:
            made = {"groups": _packing.each_array(_packing.sealed, state["groups"])}
        vars(self).update(state, y=y, **made)


def _checked(x, y):
    """Return the samples and labels as arrays, which may be the caller's, or raise."""
    x, y = _plain("x", x), _plain("y", y)
    if x.dtype.kind not in "fiub":
        raise TypeError(f"x has dtype {x.dtype}; give real numbers, for instance x.astype(float)")
    if x.dtype not in (np.float32, np.float64):
        x = _packing.locked(x.astype(np.float64))
    if x.ndim != 2 or y.shape != x.shape[:1] or len(y) == 0:
        raise ValueError(
            f"x has shape {x.shape} and y {y.shape}; give x (n, d) and y (n,) with n >= 1"
        )
    if y.dtype.kind not in "iub":
        example = "y.astype(int)" if y.dtype.kind == "f" else "np.unique(y, return_inverse=True)[1]"
        raise TypeError(
            f"y has dtype {y.dtype}; give integer labels 0..C-1, for instance {example}"
        )
    for label in (y.min(), y.max()):
        if not 0 <= label <= np.iinfo(np.int64).max:
            raise ValueError(f"y holds the label {label}; give labels 0..C-1, below 2**63")
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if len(bad):
        raise ValueError(
            f"x holds NaN or infinity in {len(bad)} rows, the first is row {bad[0]}; "
            "drop or fix them"
        )
    return x, y.astype(np.int64, copy=False)


def _numbers(what, given, labels, below):
    """Return whole numbers from 0 to below - 1, one for each label, as an array, or raise."""
    numbers = _plain(what, given)
    if numbers.shape != labels.shape:
        raise ValueError(
            f"{what} has shape {numbers.shape}; give one number for each of {len(labels)} samples"
        )
    strange = numbers[~np.isin(numbers, range(below))]
    if len(strange):
        raise ValueError(f"{what} holds {strange[0]}; give whole numbers from 0 to {below - 1}")
    return numbers


def _plain(what, array):
    """Return `array` as a NumPy array; TypeError if it is masked."""
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(
            f"{what} is a masked array, whose masked entries are no samples; give a plain array, "
            f"for instance {what}.filled(0), or leave the masked rows out"
        )
    return np.asarray(array)
