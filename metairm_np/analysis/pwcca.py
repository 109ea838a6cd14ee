"""Projection-weighted canonical correlation analysis: what two representations have in common.

Morcos, Raghu and Bengio, "Insights on representational similarity in neural networks with canonical
correlation", NeurIPS 2018.
"""

from __future__ import annotations

import math

import numpy as np
from numpy import linalg
from numpy.typing import ArrayLike

TIE = 1e-10  # correlations that differ by less count as equal: the rest is close to rounding


def pwcca(a: ArrayLike, b: ArrayLike) -> float:
    """Return the mean canonical correlation, weighted by how much of `a` each accounts for.

    Parameters
    ----------
    a : (n, p) array of real numbers, p < n
        Activations in any unit, samples in rows, neurons in columns. The weights are taken from
        `a`.
    b : (n, q) array of real numbers, q < n
        Activations of the same samples in the same order.

    Returns
    -------
    float
        From 0 to 1; 1 if the two are affine maps of each other.

    Raises
    ------
    ValueError
        If a shape is wrong, a number is NaN or infinite, the numbers of rows differ, there are as
        many neurons as samples or more, or all neurons of `a` or all of `b` are constant.
    TypeError
        If `a` or `b` does not hold real numbers.

    Notes
    -----
    With neurons centred over samples, h_i the canonical variables of `a`, each of length 1, and
    rho_i their correlations with those of `b`, it is

        sum_i alpha_i rho_i,  alpha_i proportional to sum_j |<h_i, a_j>|,  sum_i alpha_i = 1

    over the neurons a_j of `a` (Morcos et al., 2018).

    Computed in float64, whatever the dtype, from orthonormal bases of the column spaces. A neuron
    that is constant, or that is a combination of others up to the rounding of float64, adds no
    direction.

    What leaves the value as it is: an invertible affine map of `b`; reordering the samples of both
    alike; and, for `a`, the order of its neurons, their signs, shifts, and one common scale. Other
    maps of `a` leave rho as it is, but not alpha. `pwcca(a, b)` and `pwcca(b, a)` differ.

    There are as many pairs (rho_i, h_i) as the smaller of the two ranks. Where `a` has the larger
    rank, its other directions have no partner in `b` and, as in mean CCA, no part in the mean: 1
    then says that `a` holds all of `b`, not the reverse.

    Where k correlations are equal, any rotation of their h_i serves as well, and the definition
    leaves their alpha open. Here each has its mean over all rotations, proportional to B(k/2, 1/2)
    / pi sum_j |P a_j| with P the projection on their span; for k = 1 that is the definition. Such
    ties are no rarity: what `a` and `b` share has the correlation 1, and so have at least p + q -
    (n - 1) directions of any two representations of full rank. Use many more samples than p + q:
    noise correlates too.

    The code published with the paper (google/svcca) differs. It takes the weights from the
    representation with fewer neurons (the first, if they have equally many). Its directions for the
    weights lack the inverse root of the covariance that makes them canonical variables; it makes
    them orthonormal by QR instead, and does not centre. Its `epsilon` drops neurons of small
    variance and is added to the other variances; with `epsilon` 0 and full rank its correlations
    are those here.
    """
    rho, products = _canonical(a, b)
    return float(np.average(rho, weights=_weights(rho, products)))


def canonical_correlations(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Return the cosines of the angles between the centred column spaces of `a` and `b`.

    Parameters
    ----------
    a, b : (n, p) and (n, q) array of real numbers
        As for `pwcca`.

    Returns
    -------
    (r,) array
        From 0 to 1, largest first; r is the smaller of the ranks of the centred `a` and `b`. The
        same for every invertible affine map of either.

    Raises
    ------
    ValueError, TypeError
        As `pwcca`.
    """
    return _canonical(a, b)[0]


def _canonical(a, b):
    """Return the correlations (r,) and the products (rank of a, p) of a's variables and neurons."""
    a, b = _activations("a", a), _activations("b", b)
    if len(a) != len(b):
        raise ValueError(
            f"a has {len(a)} rows and b {len(b)}; give activations of the same samples in the same "
            "order"
        )
    basis_a, neurons = _column_space("a", a)
    basis_b, _ = _column_space("b", b)
    rotation, rho, _ = linalg.svd(basis_a.T @ basis_b)
    return np.minimum(rho, 1), rotation.T @ neurons


def _weights(rho, products):
    """Return the weights (r,), not normalised, where correlations are equal over all rotations."""
    # directions without a partner are tied with those that correlate by 0
    every = np.pad(rho, (0, len(products) - len(rho)))
    blocks = np.split(products, np.flatnonzero(-np.diff(every) > TIE) + 1)
    means = [_mean_size(len(block)) * linalg.norm(block, axis=0).sum() for block in blocks]
    return np.repeat(means, [len(block) for block in blocks])[: len(rho)]


def _mean_size(k):
    """Return the mean size of a coordinate of a random unit vector in k dimensions.

    It is B(k/2, 1/2) / pi, where B(a, 1/2) = gamma(a) sqrt(pi) / gamma(a + 1/2).
    """
    return math.exp(math.lgamma(k / 2) - math.lgamma((k + 1) / 2)) / math.sqrt(math.pi)


def _column_space(name, x):
    """Return a basis (n, rank) of the centred neurons, and these (rank, p) in it, scaled alike."""
    peak = np.abs(x).max(axis=0)
    x = x / np.where(peak > 0, peak, 1)  # a constant neuron is 1 or -1, and 0 once centred
    x -= x.mean(axis=0)
    length = linalg.norm(x, axis=0)
    tolerance = max(x.shape) * np.finfo(float).eps
    varies = length > tolerance
    if not varies.any():
        raise ValueError(
            f"all neurons of {name} are constant over its {len(x)} samples; there is nothing to "
            "compare, leave it out"
        )
    peak, length = peak[varies], length[varies]
    # all of length 1, so that a small singular value means a dependent neuron and not one measured
    # in a large unit
    u, s, vt = linalg.svd(x[:, varies] / length, full_matrices=False)
    rank = np.count_nonzero(s > tolerance * s[0])
    return u[:, :rank], s[:rank, None] * vt[:rank] * (length * (peak / peak.max()))


def _activations(name, x):
    """Return `x` as float64, or raise unless it is finite and has more samples than neurons."""
    x = np.asarray(x)
    if x.ndim != 2 or x.shape[1] == 0:
        raise ValueError(
            f"{name} has shape {x.shape}; give (samples, neurons), such as "
            f"{name}.reshape(len({name}), -1)"
        )
    if x.dtype.kind not in "fiub":
        raise TypeError(
            f"{name} has dtype {x.dtype}; give real numbers, for instance {name}.astype(float)"
        )
    x = x.astype(np.float64)
    n, p = x.shape
    if p >= n:
        raise ValueError(
            f"{name} has {p} neurons but {n} samples, and neurons that span all samples correlate "
            f"by 1 with anything; give more than {p} samples, or fewer neurons, such as the first "
            "principal components"
        )
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{name} holds NaN or infinity in {len(bad)} rows, the first is row {bad[0]}; "
            "drop or fix them"
        )
    return x
