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


def test_sgd_with_momentum():
    params, _ = problem(0)
    optimizer, theta, v = SGD(0.1, 0.9), flat(params), 0
    for gradient in gradients(params, 4):
        params = optimizer.step(params, gradient)
        v = 0.9 * v + flat(gradient)
        theta = theta - 0.1 * v
    np.testing.assert_allclose(flat(params), theta, rtol=1e-14)


def test_adam():
    params, _ = problem(1)
    optimizer, theta, m, v = Adam(0.01, 0.8, 0.95, 1e-3), flat(params), 0, 0
    for t, gradient in enumerate(gradients(params, 4), start=1):
        params = optimizer.step(params, gradient)
        g = flat(gradient)
        m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g**2
        theta = theta - 0.01 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-3)
    np.testing.assert_allclose(flat(params), theta, rtol=1e-13)


def test_the_first_step_of_adam_has_the_length_lr():
    params, _ = problem(2)
    (gradient,) = gradients(params, 1)
    step = flat(params) - flat(Adam(0.01).step(params, gradient))
    np.testing.assert_allclose(step, 0.01 * np.sign(flat(gradient)), rtol=1e-6)


@pytest.mark.parametrize("make", [lambda: SGD(0.1, 0.9), lambda: Adam(0.1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_is_kept_and_arguments_are_left_alone(make, dtype):
    params, _ = problem(3, dtype=dtype)
    before, optimizer = flat(params).copy(), make()
    for gradient in gradients(params, 2):
        moved = optimizer.step(params, gradient)
    assert {part.dtype for pair in moved for part in pair} == {np.dtype(dtype)}
    np.testing.assert_array_equal(flat(params), before)


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
