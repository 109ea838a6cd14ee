"""Projection-weighted CCA: slow references, values by hand, invariances, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

from metairm_np.analysis import canonical_correlations, pwcca

# three centred patterns at right angles, and five more of twice the samples
E1, E2, E3 = np.array([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]) * 1.0
F = linalg.hadamard(8)[:, 1:] * 1.0  # (8, 7)

seeds = st.integers(0, 2**32)
quick = settings(max_examples=30, deadline=None)


@st.composite
def problems(draw):
    """Draw a generator and two representations that share noisy factors, with p + q < n - 1."""
    rng = np.random.default_rng(draw(seeds))
    p, q = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    n = draw(st.integers(30, 90))
    factors = rng.normal(size=(n, 3))
    a, b = (
        factors @ rng.normal(size=(3, k)) + rng.normal(size=(n, k)) * 0.7 + rng.normal(size=k)
        for k in (p, q)
    )
    return rng, a * rng.uniform(0.3, 3, p), b


def invertible(rng, k):
    """Draw a matrix (k, k) whose condition number is at most 10."""
    return (
        linalg.qr(rng.normal(size=(k, k)))[0]
        * rng.uniform(0.3, 3, k)
        @ linalg.qr(rng.normal(size=(k, k)))[0]
    )


def close(found, wanted, atol=1e-8):
    np.testing.assert_allclose(found, wanted, rtol=0, atol=atol)


def by_covariances(a, b, neurons=None):
    """Return the correlations and their weighted mean, by a generalised eigenproblem.

    The weights are from `neurons`, default `a`.
    """
    a, b, neurons = (x - x.mean(axis=0) for x in (a, b, a if neurons is None else neurons))
    explained = a.T @ b @ linalg.inv(b.T @ b) @ b.T @ a
    squares, directions = linalg.eigh(explained, a.T @ a)  # columns w with w.T a.T a w = 1
    order = np.argsort(-squares)[: min(a.shape[1], b.shape[1])]
    rho = np.sqrt(np.maximum(squares[order], 0))
    alpha = np.abs((a @ directions[:, order]).T @ neurons).sum(axis=1)
    return rho, np.average(rho, weights=alpha)


@quick
@given(problems())
def test_agrees_with_the_covariance_formula(problem):
    _, a, b = problem
    rho, value = by_covariances(a, b)
    close(canonical_correlations(a, b), rho, 1e-7)  # the root of an eigenvalue near 0
    close(pwcca(a, b), value)


def test_values_by_hand():
    f = 0.6 * E1 + 0.8 * E3
    a = np.column_stack([3 * E1 + E2 + 7, E1 - 4 * E2 - 2])
    b = np.column_stack([2 * f, E2 + f + 5])
    # a spans E1 and E2, b spans E2 and f: E2 is common to both, and E1 meets f at the cosine 0.6
    close(canonical_correlations(a, b), [1, 0.6])
    # E2 weighs |1| + |-4| and E1 |3| + |1| in a; E2 weighs |1| and f |2| + |1| in b
    assert pwcca(a, b) == pytest.approx((5 * 1 + 4 * 0.6) / 9, abs=1e-12)
    assert pwcca(b, a) == pytest.approx((1 * 1 + 3 * 0.6) / 4, abs=1e-12)


# the mean of |u_1| over unit vectors u in k dimensions
MEAN_SIZE = {1: 1, 2: 2 / np.pi, 3: 1 / 2, 4: 4 / (3 * np.pi)}


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_tied_directions_weigh_what_they_do_on_average_over_rotations(k):
    neurons = np.random.default_rng(k).normal(size=(k + 1, 6))
    a = F[:, : k + 1] @ neurons
    b = np.column_stack([F[:, :k], 0.6 * F[:, k] + 0.8 * F[:, k + 1]])
    close(canonical_correlations(a, b), [*[1] * k, 0.6])
    tied = k * MEAN_SIZE[k] * linalg.norm(neurons[:k], axis=0).sum()
    single = np.abs(neurons[k]).sum()
    assert pwcca(a, b) == pytest.approx((tied + 0.6 * single) / (tied + single), abs=1e-12)


def test_a_correlation_of_zero_is_tied_with_the_directions_without_a_partner():
    neurons = np.array([[2.0, 0, 1], [1, 1, -2], [0, 3, 1]])
    a = F[:, :3] @ neurons
    b = np.column_stack([0.5 * F[:, 0] + F[:, 3], F[:, 4]])
    rho, single = np.sqrt(0.2), np.abs(neurons[0]).sum()
    close(canonical_correlations(a, b), [rho, 0])
    tied = MEAN_SIZE[2] * linalg.norm(neurons[1:], axis=0).sum()  # one of the two takes part
    assert pwcca(a, b) == pytest.approx(rho * single / (single + tied), abs=1e-12)


def test_close_correlations_are_not_tied():
    cosines = np.array([0.6, 0.6 - 1e-6])
    neurons = np.array([[1.0, -2, 0.5], [0.5, 0.2, 0]])
    a, b = F[:, :2] @ neurons, F[:, :2] * cosines + F[:, 2:4] * np.sqrt(1 - cosines**2)
    alpha = np.abs(neurons).sum(axis=1)
    assert (0.6 - pwcca(a, b)) / 1e-6 == pytest.approx(alpha[1] / alpha.sum(), abs=1e-6)


def test_a_direction_that_differs_little_from_another_still_counts():
    near = np.column_stack([F[:, 0], F[:, 0] + 1e-8 * F[:, 1], 1 + 1e-8 * F[:, 2]])
    close(canonical_correlations(near, F[:, :4]), [1, 1, 1], 1e-6)


@quick
@given(problems())
def test_lies_between_the_least_and_the_largest_correlation(problem):
    _, a, b = problem
    rho = canonical_correlations(a, b)
    assert rho.shape == (min(a.shape[1], b.shape[1]),)
    assert (np.diff(rho) <= 0).all()
    assert 0 <= rho[-1] <= rho[0] <= 1
    assert rho[-1] - 1e-12 <= pwcca(a, b) <= rho[0] + 1e-12
    assert type(pwcca(a, b)) is float


@quick
@given(problems(), st.floats(-6, 6))
def test_a_representation_and_its_affine_map_give_one(problem, power):
    rng, a, _ = problem
    p = a.shape[1]
    mapped = 10**power * (a @ invertible(rng, p) + rng.normal(size=p))
    for other in (a, mapped, np.column_stack([rng.normal(size=(len(a), 2)), a])):
        assert 1 - 1e-12 <= pwcca(a, other) <= 1
        assert canonical_correlations(a, other).max() <= 1


@quick
@given(problems(), st.floats(-6, 6))
def test_invariant_to_affine_maps_of_b_and_rho_to_those_of_a(problem, power):
    rng, a, b = problem
    other_b = 10**power * (b @ invertible(rng, b.shape[1]) + rng.normal(size=b.shape[1]))
    other_a = 10**-power * (a @ invertible(rng, a.shape[1]) + rng.normal(size=a.shape[1]))
    close(pwcca(a, other_b), pwcca(a, b))
    close(canonical_correlations(other_a, other_b), canonical_correlations(a, b))
    close(canonical_correlations(b, a), canonical_correlations(a, b))


@quick
@given(seeds, st.sampled_from([(40, 6, 5, 3), (20, 12, 13, 0), (16, 15, 7, 0)]))
def test_invariant_to_affine_maps_of_b_where_correlations_are_tied(seed, sizes):
    n, p, q, n_shared = sizes
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(n, p)), rng.normal(size=(n, q))
    b[:, :n_shared] = a[:, :n_shared]
    assert (canonical_correlations(a, b) > 1 - 1e-12).sum() == max(n_shared, p + q - (n - 1))
    close(pwcca(a, b @ invertible(rng, q) + rng.normal(size=q)), pwcca(a, b))


@quick
@given(problems(), st.floats(-6, 6))
def test_invariant_to_order_signs_shifts_and_one_scale_of_the_neurons_of_a(problem, power):
    rng, a, b = problem
    p = a.shape[1]
    other = 10**power * (a * rng.choice([-1, 1], p) + rng.normal(size=p))[:, rng.permutation(p)]
    close(pwcca(other, b), pwcca(a, b))


@quick
@given(problems())
def test_order_of_samples_does_not_matter_but_their_pairing_does(problem):
    rng, a, b = problem
    order = rng.permutation(len(a))
    close(pwcca(a[order], b[order]), pwcca(a, b))
    assert pwcca(a, a[np.roll(np.arange(len(a)), 1)]) < 0.95


@quick
@given(problems())
def test_duplicated_dependent_and_constant_neurons(problem):
    rng, a, b = problem
    n, q = b.shape
    value, rho = pwcca(a, b), canonical_correlations(a, b)
    flat = np.full((n, 2), [0, 0.1])
    for more in (b, b @ rng.normal(size=(q, 3)), flat):
        same = np.column_stack([more, b])
        close(pwcca(a, same), value)
        close(canonical_correlations(a, same), rho)  # no more of them
    thrice = np.column_stack([flat, a, a, a])  # each counted three times
    close(pwcca(thrice, b), value)
    more = np.column_stack([a, a @ rng.normal(size=(a.shape[1], 2))])
    close(canonical_correlations(more, b), rho)
    # a dependent neuron adds no direction, yet it is a neuron: the weights count it
    close(pwcca(more, b), by_covariances(a, b, more)[1])


@quick
@given(problems())
def test_neurons_in_very_different_units(problem):
    rng, a, b = problem
    other_a, other_b = (x * 10 ** rng.permutation(np.linspace(-6, 6, x.shape[1])) for x in (a, b))
    close(pwcca(other_a, b), by_covariances(a, b, other_a)[1], 1e-7)
    close(pwcca(a, other_b), pwcca(a, b))
    close(canonical_correlations(other_a, b), canonical_correlations(a, b))


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_no_overflow_nor_underflow(scale):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(50, 3)), rng.normal(size=(50, 4))
    assert pwcca(a * scale, b / scale) == pytest.approx(pwcca(a, b), abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.uint8, bool])
def test_other_dtypes_are_computed_in_float64(dtype):
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 4, size=(60, k)).astype(dtype) for k in (3, 4))
    a = a / dtype(3) if np.issubdtype(dtype, np.floating) else a
    assert a.dtype == dtype
    copy = a.copy()
    assert pwcca(a, b) == pwcca(a.astype(float), b.astype(float))
    assert canonical_correlations(a, b).dtype == np.float64
    np.testing.assert_array_equal(a, copy)


GOOD = np.random.default_rng(0).normal(size=(6, 3))
WITH_NAN, WITH_INF = GOOD.copy(), GOOD.copy()
WITH_NAN[4, 1], WITH_INF[2, 0] = np.nan, -np.inf


NEURONS_AS_MANY = "^{} has 6 neurons but 6 samples.*more than 6 samples, or fewer neurons"
REFUSED = [
    (GOOD[0], ValueError, r"^{} has shape \(3,\); give \(samples, neurons\), such as {}.reshape"),
    (GOOD[None], ValueError, r"^{} has shape \(1, 6, 3\)"),
    (GOOD[:, :0], ValueError, r"^{} has shape \(6, 0\)"),
    (GOOD + 0j, TypeError, "^{} has dtype complex128; give real numbers"),
    (GOOD.astype(str), TypeError, "^{} has dtype <U32"),
    (np.eye(6), ValueError, NEURONS_AS_MANY),
    (np.ones((6, 9)), ValueError, "^{} has 9 neurons but 6 samples"),
    (WITH_NAN, ValueError, "^{} holds NaN or infinity in 1 rows, the first is row 4; drop or fix"),
    (WITH_INF, ValueError, "^{} holds NaN or infinity in 1 rows, the first is row 2"),
    (np.full((6, 2), 0.1), ValueError, "^all neurons of {} are constant over its 6 samples; there"),
    (np.zeros((6, 2)), ValueError, "^all neurons of {} are constant"),
    (GOOD[:5], ValueError, "^a has [56] rows and b [56]; give activations of the same samples in"),
]


@pytest.mark.parametrize(("bad", "error", "words"), REFUSED)
@pytest.mark.parametrize("compare", [pwcca, canonical_correlations])
def test_bad_input_is_refused_in_words(compare, bad, error, words):
    for pair, name in (((bad, GOOD), "a"), ((GOOD, bad), "b")):
        with pytest.raises(error, match=words.replace("{}", name)):
            compare(*pair)


def test_one_sample_more_than_neurons_is_enough():
    assert pwcca(GOOD, GOOD[:, :1]) == pytest.approx(1)
    assert pwcca(GOOD[:4], GOOD[:4, ::-1] ** 3) == pytest.approx(
        1
    )  # and three centred neurons span four samples
