"""One environment: samples and labels drawn from one distribution."""

from dataclasses import dataclass, field, replace

import numpy as np

from metairm_np import checks


@dataclass(frozen=True, eq=False)
class Environment:
    """Samples, labels and what is known of how they were made.

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

    Raises
    ------
    ValueError, TypeError
        If a shape is wrong, a sample is NaN or infinite, a label is negative or not an integer, or there is no sample.
    """

    x: np.ndarray
    y: np.ndarray
    name: str = field(default="", kw_only=True)
    p_e: float | None = field(default=None, kw_only=True)
    patch_p: float | None = field(default=None, kw_only=True)
    label_noise: float | None = field(default=None, kw_only=True)

    def __post_init__(self):
        x, y = np.asarray(self.x), np.asarray(self.y)
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
        object.__setattr__(self, "x", _read_only(x))
        object.__setattr__(self, "y", _read_only(y.astype(np.int64, copy=False)))

    def __len__(self):
        return len(self.y)

    def astype(self, dtype):
        """Give the environment with `x` as float32 or float64; itself if it is so already."""
        checks.dtype(dtype)
        return self if self.x.dtype == dtype else replace(self, x=self.x.astype(dtype))


def _read_only(array):
    view = array.view()
    view.flags.writeable = False
    return view
