"""SGD and Adam against their formulas, written out by hand."""

import numpy as np
import pytest
from problems import flat, problem

from metairm_np.optimizers import SGD, Adam


def gradients(params, n):
    rng = np.random.default_rng(0)
    return [
        [tuple(rng.normal(size=part.shape).astype(part.dtype) for part in pair) for pair in params]
        for _ in range(n)
    ]


def moved(optimizer, params, n):
    """Return the parameters after `n` updates, flat."""
    state = optimizer.init(params)
    for gradient in gradients(params, n):
        params, state = optimizer.update(gradient, state, params)
    return flat(params)


def test_sgd_with_momentum():
    params, _ = problem(0)
    theta, v = flat(params), 0
    for gradient in gradients(params, 4):
        v = 0.9 * v + flat(gradient)
        theta = theta - 0.1 * v
    np.testing.assert_allclose(moved(SGD(0.1, 0.9), params, 4), theta, rtol=1e-14)


def test_adam():
    params, _ = problem(1)
    theta, m, v = flat(params), 0, 0
    for t, gradient in enumerate(gradients(params, 4), start=1):
        g = flat(gradient)
        m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g**2
        theta = theta - 0.01 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-3)
    np.testing.assert_allclose(moved(Adam(0.01, 0.8, 0.95, 1e-3), params, 4), theta, rtol=1e-13)


@pytest.mark.parametrize("optimizer", [SGD(0.1, 0.9), Adam(0.1)], ids=["SGD", "Adam"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_is_kept_and_arguments_are_left_alone(optimizer, dtype):
    params, _ = problem(3, dtype=dtype)
    (gradient,) = gradients(params, 1)
    once, state = optimizer.update(gradient, optimizer.init(params), params)
    given = [
        *params,
        *gradient,
        *(part for tree in state if isinstance(tree, list) for part in tree),
    ]
    before = flat(given).copy()
    twice, _ = optimizer.update(gradient, state, params)
    assert {part.dtype for pair in [*once, *twice] for part in pair} == {np.dtype(dtype)}
    np.testing.assert_array_equal(flat(given), before)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adam(-1), "lr is -1; give a finite number >= 0"),
        (lambda: Adam(0.1, beta1=2), "beta1 is 2; give a finite number from 0 to 1"),
        (lambda: SGD(0.1, 1.5), "momentum is 1.5; give a finite number from 0 to 1"),
    ],
)
def test_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
