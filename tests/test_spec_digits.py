"""The loss of many classes has all its digits, however large the outputs are and whoever wins."""

import autograd
import numpy as np
import pytest

from metairm_np import spec

mpmath = pytest.importorskip("mpmath", reason="mpmath is not installed: pip install mpmath")

mp = mpmath.mp.clone()  # whose precision is our own
mp.dps = 60
SIZES = [(0.0, 1.0), (0.0, 30.0), (3e4, 0.0), (3e4, 3.0), (-3e4, 15.0), (3e4, 3e4), (1e30, 1.0)]
sizes = pytest.mark.parametrize(("offset", "spread"), SIZES)


def outputs(offset, spread, n_classes=4, n=40):
    """Return single samples' outputs, (1, C), and labels, (1,), each class as often."""
    rng = np.random.default_rng(0)
    for k in range(n):
        yield offset + spread * rng.normal(size=(1, n_classes)), np.array([k % n_classes])


def exact(f, y):
    """Return the loss of one sample, its gradient, and the probabilities."""
    terms = [mp.exp(mp.mpf(value) - mp.mpf(f[y])) for value in f.tolist()]
    others = mp.fsum(term for c, term in enumerate(terms) if c != y)
    p = [term / (1 + others) for term in terms]
    slope = [-others / (1 + others) if c == y else p_c for c, p_c in enumerate(p)]
    return mp.log1p(others), slope, p


def assert_digits(ours, right, tolerance=1e-13, scale=0):
    for one, other in zip(np.ravel(ours).tolist(), right, strict=True):
        assert abs(one - other) <= tolerance * max(abs(other), scale, 1e-300)


@sizes
@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_value_and_gradient(offset, spread, n_classes):
    for f, y in outputs(offset, spread, n_classes):
        value, slope, _ = exact(f[0], y[0])
        assert_digits(spec.cross_entropy(f, y), [value])
        assert_digits(autograd.grad(spec.cross_entropy)(f, y), slope)


@sizes
def test_second_derivatives(offset, spread):
    v = np.array([[0.5, -1.0, 2.0, 0.7]])
    for f, y in outputs(offset, spread):
        _, _, p = exact(f[0], y[0])
        mean = mp.fdot(p, v[0].tolist())
        right = [p_c * (v_c - mean) for p_c, v_c in zip(p, v[0].tolist())]
        product, _ = autograd.make_hvp(spec.cross_entropy)(f, y)
        assert_digits(product(v), right, scale=0.1)  # they cancel where p is near 0 or 1


@pytest.mark.filterwarnings("ignore:overflow")  # of the difference of the two, whose e^ is 0
def test_outputs_near_the_largest_number_stay_finite():
    f = np.array([[1e308, -1e308, 0.0]])
    for y, loss in ((0, 0.0), (2, 1e308)):
        assert spec.cross_entropy(f, np.array([y])) == loss
        slope = autograd.grad(spec.cross_entropy)(f, np.array([y]))[0]
        np.testing.assert_array_equal(slope, np.eye(3)[0] - np.eye(3)[y])
