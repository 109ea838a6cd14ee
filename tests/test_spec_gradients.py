"""The spec's gradients: central differences, closed forms, limits, and both dtypes."""

import itertools

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from problems import HYPER, along, away_from_kinks, flat, noise_for, problem

from metairm_np import Environment, spec

shapes = st.sampled_from([(2, ()), (2, (5,)), (2, (4, 3)), (3, ()), (5, (6,)), (10, (4, 4))])
seeds = st.integers(0, 2**32 - 1)


def check_directional_derivative(name, params, envs, hyper, seed, l2=0.01):
    assume(away_from_kinks(params, envs, hyper))
    rng = np.random.default_rng(seed)
    direction = [(rng.normal(size=W.shape), rng.normal(size=b.shape)) for W, b in params]
    value, gradient = spec.value_and_grad(name, params, envs, l2=l2, **hyper)
    step = 1e-6
    up, down = (
        spec.value_and_grad(name, along(params, direction, s), envs, l2=l2, **hyper)[0]
        for s in (step, -step)
    )
    exact = flat(gradient) @ flat(direction)
    assert abs((up - down) / (2 * step) - exact) <= 1e-7 * (
        1 + abs(value) + np.linalg.norm(flat(direction))
    )


@settings(max_examples=40, deadline=None)
@given(seeds, shapes, st.integers(2, 4), st.sampled_from(sorted(HYPER)))
def test_gradient_is_the_slope(seed, shape, n_envs, name):
    params, envs = problem(seed, *shape, n_envs=n_envs)
    check_directional_derivative(name, params, envs, HYPER[name], seed)


@settings(max_examples=40, deadline=None)
@given(
    seeds,
    shapes,
    st.integers(1, 3),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["all", "sampled", "same"]),
)
def test_meta_gradient_is_the_slope_with_every_option(
    seed, shape, inner_steps, noisy, inner_l2, pairs
):
    params, envs = problem(seed, *shape, n_envs=3)
    hyper = {
        **HYPER["meta_irm"],
        "inner_steps": inner_steps,
        "same_env": pairs == "same",
        "inner_l2": 0.02 if inner_l2 else 0.0,
    }
    if noisy:
        hyper["gradient_noise"] = noise_for(params, 3, inner_steps, seed)
    if pairs == "sampled":
        hyper["pairs"] = [(0, 2), (1, 0), (2, 0)]
    check_directional_derivative("meta_irm", params, envs, hyper, seed)


def quartic(theta):
    return sum(anp.sum(W**4) + anp.sum(b**4) for W, b in theta)


@pytest.mark.parametrize(
    ("first_order", "expected"), [(False, (-0.1728, 0.25515)), (True, (0.864, 0.3645))]
)
def test_meta_gradient_of_sum_w4_in_closed_form(first_order, expected):
    # L = sum w^4, w' = w - 4 alpha w^3: dL(w')/dw = 4 w'^3 (1 - 12 alpha w^2), without the bracket
    # at first order
    params = [(np.array([[1.0]]), np.array([0.5]))]
    gradient = autograd.grad(
        lambda theta: quartic(spec.inner_loop(quartic, theta, 0.1, first_order=first_order))
    )(params)
    np.testing.assert_allclose(flat(gradient), expected, rtol=1e-14)


def test_noise_multiplies_the_inner_gradient_in_closed_form():
    # w' = w - 4 alpha m w^3: dL(w')/dw = 4 w'^3 (1 - 12 alpha m w^2)
    params, m = [(np.array([[1.0]]), np.array([0.5]))], [[(np.array([[0.5]]), np.array([3.0]))]]
    gradient = autograd.grad(
        lambda theta: quartic(spec.inner_loop(quartic, theta, 0.1, gradient_noise=m))
    )(params)
    np.testing.assert_allclose(
        flat(gradient), (4 * 0.8**3 * (1 - 0.6), 4 * 0.35**3 * (1 - 0.9)), rtol=1e-14
    )


def test_logistic_risk_of_one_weight_in_closed_form():
    # R_e(w) = log(1 + e^-w) for x = y = 1: R' = -s(-w), R'' = s(w) s(-w)
    env = Environment(np.ones((1, 1)), np.ones(1, int))
    w, alpha = 0.7, 0.4
    params = [(np.array([[w]]), np.zeros(1))]

    def s(z):
        return 1 / (1 + np.exp(-z))

    adapted = [w + alpha * s(-w), alpha * s(-w)]  # weight and bias have the same gradient
    z = sum(adapted)
    slope, curvature = -s(-z), s(w) * s(-w)
    value, gradient = spec.value_and_grad(
        "meta_irm", params, [env, env], inner_lr=alpha, std_weight=0.0
    )
    assert value == pytest.approx(2 * np.log(1 + np.exp(-z)), rel=1e-14)
    np.testing.assert_allclose(
        flat(gradient), 2 * slope * (1 - 2 * alpha * curvature) * np.ones(2), rtol=1e-14
    )


def test_irmv1_penalty_in_closed_form():
    # one sample with logit z and label 1: d/dw log(1 + e^-wz) at w = 1 is -z s(-z)
    env = Environment(np.ones((1, 1)), np.ones(1, int))
    penalty = spec.irmv1_penalty([(np.array([[1.5]]), np.zeros(1))], env)
    assert penalty == pytest.approx((1.5 / (1 + np.exp(1.5))) ** 2, rel=1e-14)


def test_rex_in_closed_form():
    params, envs = problem(0, n_envs=3)
    R = [float(spec.risk(params, env)) for env in envs]
    mean = sum(R) / 3
    variance = sum((r - mean) ** 2 for r in R) / 3
    assert spec.v_rex(params, envs, 5.0) == pytest.approx(sum(R) + 5 * variance, rel=1e-14)
    assert spec.mm_rex(params, envs, -2.0) == pytest.approx(7 * max(R) - 2 * sum(R), rel=1e-14)


def test_meta_losses_are_the_risks_of_the_adapted_parameters_in_order():
    params, envs = problem(1, n_envs=3)
    L = spec.meta_losses(params, envs, 0.3, 2)
    adapted = [spec.adapt(params, env, 0.3, 2) for env in envs]
    pairs = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    np.testing.assert_array_equal(L, [spec.risk(adapted[i], envs[j]) for i, j in pairs])
    assert spec.meta_irm(params, envs, 0.3, 0.5, 2) == pytest.approx(
        L.sum() + 0.5 * L.std(), rel=1e-14
    )


@settings(max_examples=25, deadline=None)
@given(seeds, shapes)
def test_zero_inner_lr_gives_the_risks_themselves(seed, shape):
    params, envs = problem(seed, *shape, n_envs=3)
    value, gradient = spec.value_and_grad("meta_irm", params, envs, inner_lr=0.0, std_weight=0.0)
    erm_value, erm_gradient = spec.value_and_grad("erm", params, envs)
    assert value == pytest.approx(
        2 * erm_value, rel=1e-13
    )  # each environment is evaluated for both others
    np.testing.assert_allclose(flat(gradient), 2 * flat(erm_gradient), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("zero_logits", [False, True])
def test_identical_environments_have_sigma_zero_and_a_finite_gradient(n_classes, zero_logits):
    params, envs = problem(2, n_classes)
    if zero_logits:
        params[-1] = tuple(np.zeros_like(part) for part in params[-1])
    envs = [envs[0]] * 3
    for name, hyper in HYPER.items():
        _, gradient = spec.value_and_grad(name, params, envs, **hyper)
        assert np.isfinite(flat(gradient)).all()
    hyper = HYPER["meta_irm"]
    assert spec.sigma(spec.meta_losses(params, envs, hyper["inner_lr"])) == 0
    with_sigma = spec.value_and_grad("meta_irm", params, envs, inner_lr=0.3, std_weight=100.0)
    without = spec.value_and_grad("meta_irm", params, envs, inner_lr=0.3, std_weight=0.0)
    assert with_sigma[0] == without[0]
    np.testing.assert_array_equal(flat(with_sigma[1]), flat(without[1]))


def test_first_order_differs_exactly_where_there_is_curvature():
    params, envs = problem(3)
    exact = spec.value_and_grad("meta_irm", params, envs, inner_lr=0.3, std_weight=0.5)
    first = spec.value_and_grad(
        "meta_irm", params, envs, inner_lr=0.3, std_weight=0.5, first_order=True
    )
    assert exact[0] == first[0]
    assert np.linalg.norm(flat(exact[1]) - flat(first[1])) > 1e-3 * np.linalg.norm(flat(exact[1]))
    far = [
        Environment(np.full((1, 4), 1.0), np.ones(1, int))
    ] * 2  # a logit near 40: no curvature to speak of
    flat_params = [(np.full((4, 1), 10.0), np.zeros(1))]
    exact = spec.value_and_grad("meta_irm", flat_params, far, inner_lr=0.3, std_weight=0.5)[1]
    first = spec.value_and_grad(
        "meta_irm", flat_params, far, inner_lr=0.3, std_weight=0.5, first_order=True
    )[1]
    np.testing.assert_allclose(flat(exact), flat(first), rtol=1e-12)


def test_softplus_curvature_at_zero_logits():
    # zero-initialised logits, one sample with x = 1: R'' = s(0) s(0) = 1/4 per parameter pair, so v
    # - alpha H v is known
    env = Environment(np.ones((1, 1)), np.ones(1, int))
    params = [(np.zeros((1, 1)), np.zeros(1))]
    gradient = autograd.grad(lambda theta: anp.sum(theta[0][0]))(params)
    hvp = autograd.grad(lambda theta: anp.sum(autograd.grad(spec.risk)(theta, env)[0][0]))(params)
    np.testing.assert_array_equal(flat(gradient), [1, 0])
    np.testing.assert_allclose(flat(hvp), [0.25, 0.25], rtol=1e-15)


def test_relu_has_derivative_zero_at_zero():
    params = [(np.zeros((1, 1)), np.zeros(1)), (np.ones((1, 1)), np.zeros(1))]
    env = Environment(np.ones((1, 1)), np.ones(1, int))
    gradient = autograd.grad(spec.risk)(params, env)
    np.testing.assert_array_equal(flat(gradient[:1]), [0, 0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("name", sorted(HYPER))
def test_the_dtype_of_the_input_is_kept(name, n_classes, dtype):
    params, envs = problem(4, n_classes, (6, 4), 3, dtype=dtype)
    hyper = dict(HYPER[name])
    if name == "meta_irm":
        hyper.update(inner_steps=2, inner_l2=0.1, gradient_noise=noise_for(params, 3, 2, 0))
    value, gradient = spec.value_and_grad(name, params, envs, l2=0.1, **hyper)
    assert type(value) is float
    assert {part.dtype for pair in gradient for part in pair} == {np.dtype(dtype)}
    wide, wide_envs = (
        [(W.astype(float), b.astype(float)) for W, b in params],
        [env.astype("float64") for env in envs],
    )
    exact_value, exact = spec.value_and_grad(name, wide, wide_envs, l2=0.1, **hyper)
    tolerance = 1e-5 if dtype == "float32" else 1e-15
    assert value == pytest.approx(exact_value, rel=tolerance)
    np.testing.assert_allclose(
        flat(gradient), flat(exact), atol=tolerance * np.abs(flat(exact)).max()
    )


def test_arguments_are_left_alone():
    params, envs = problem(5)
    before = flat(params).copy(), [env.x.copy() for env in envs]
    spec.value_and_grad("meta_irm", params, envs, inner_lr=0.3, std_weight=0.5, inner_steps=2)
    spec.adapt(params, envs[0], 0.3, 2)
    np.testing.assert_array_equal(flat(params), before[0])
    for env, x in zip(envs, before[1]):
        np.testing.assert_array_equal(env.x, x)


def test_mm_rex_shares_a_tie():
    params, envs = problem(6)
    tied = spec.value_and_grad("mm_rex", params, [envs[0]] * 2, lambda_min=-0.7)[1]
    single = spec.value_and_grad("erm", params, envs[:1])[1]
    np.testing.assert_allclose(flat(tied), (2.4 - 1.4) * flat(single), rtol=1e-12)


@pytest.mark.parametrize("sampled", [False, True])
def test_algorithm_1_descends_the_meta_gradient(sampled):
    params, envs = problem(7, n_envs=3)
    rng = np.random.default_rng(0) if sampled else None
    path, drawn = spec.algorithm_1(params, envs, 0.3, 0.5, 0.2, rng), []
    for _ in range(4):
        after, steps = next(path), []
        choices = itertools.product((1, 2), (0, 2), (0, 1)) if sampled else [None]
        for others in choices:
            pairs = others and list(enumerate(others))
            hyper = {"inner_lr": 0.3, "std_weight": 0.5, "pairs": pairs}
            _, gradient = spec.value_and_grad("meta_irm", params, envs, **hyper)
            steps.append(np.array_equal(flat(after), flat(along(params, gradient, -0.2))))
        assert sum(steps) == 1  # exactly one choice of e_j explains the step
        drawn.append(steps.index(True))
        params = after
    assert (len(set(drawn)) > 1) == sampled
