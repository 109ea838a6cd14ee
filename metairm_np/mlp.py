"""The model: a multilayer perceptron with ReLU units, its parameters a plain list of (W, b)."""

from __future__ import annotations

from collections.abc import Sequence

import autograd.numpy as np
from numpy import ndarray
from numpy.random import SeedSequence, default_rng

from metairm_np import _checks
from metairm_np._seeds import seed_sequence

Params = list[tuple[ndarray, ndarray]]  # [(W, b), ...], W : (in, out), b : (out,)


def init_mlp(
    sizes: Sequence[int], seed: int | SeedSequence, dtype: str = "float64", scheme: str = "glorot"
) -> Params:
    """Return random parameters of a perceptron.

    Parameters
    ----------
    sizes : sequence of int
        (d, hidden..., out), at least two numbers; out = 1 for two classes (one logit), C for C
        classes.
    seed : int or numpy.random.SeedSequence
    dtype : {"float64", "float32"}, default "float64"
        Drawn in float64 and rounded, so both types start from the same point.
    scheme : {"glorot", "fan_in"}, default "glorot"
        "glorot": W uniform in +-sqrt(6 / (in + out)), b = 0 (Glorot and Bengio, AISTATS 2010), as
        the published IRM codes. "fan_in": W and b uniform in +-1 / sqrt(in), the default of
        torch.nn.Linear.

    Returns
    -------
    list of (W, b)
        W : (in, out), b : (out,).

    Raises
    ------
    ValueError, TypeError
        If `sizes` holds fewer than two widths, or one that is not a whole number >= 1, or the
        scheme is unknown.
    """
    if len(sizes) < 2:
        raise ValueError(
            f"sizes is {tuple(sizes)!r}; give at least the input and the output width, such as "
            "(392, 256, 1)"
        )
    for width in sizes:
        _checks.count("a width in sizes", width, 1)
    _checks.dtype(dtype)
    _checks.choice("scheme", scheme, ("glorot", "fan_in"))
    rng = default_rng(seed_sequence(seed))
    params = []
    for n_in, n_out in zip(sizes[:-1], sizes[1:]):
        if scheme == "glorot":
            W, b = rng.uniform(-1, 1, (n_in, n_out)) * (6 / (n_in + n_out)) ** 0.5, np.zeros(n_out)
        else:
            W = rng.uniform(-1, 1, (n_in, n_out)) / n_in**0.5
            b = rng.uniform(-1, 1, n_out) / n_in**0.5
        params.append((W.astype(dtype), b.astype(dtype)))
    return params


@_checks.checked()
def logits(params: Params, x: ndarray) -> ndarray:
    """Return the outputs f_theta(x).

    Parameters
    ----------
    params : list of (W, b)
        W : (in, out), b : (out,).
    x : (n, d) array

    Returns
    -------
    (n, out) array

    Raises
    ------
    ValueError
        If the widths of `x` and the layers do not fit.
    """
    h = x
    for W, b in params[:-1]:
        h = relu(np.dot(h, W) + b)  # (n, hidden)
    W, b = params[-1]
    return np.dot(h, W) + b  # (n, out)


def relu(a: ndarray) -> ndarray:
    """Return max(0, a), whose derivative at 0 is 0 as in PyTorch and JAX (not autograd's 1/2)."""
    return a * (a > 0)


def squared_norm(params: Params) -> np.floating:
    """Return ||theta||^2, the sum of the squares of all weights and biases."""
    return sum(np.sum(W * W) + np.sum(b * b) for W, b in params)
