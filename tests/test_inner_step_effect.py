"""What the inner step adds to the effect of the colour, on a model whose answer is known."""

import inner_step_effect
import numpy as np
import pytest

from metairm_np import Environment


def test_a_linear_model_is_given_the_gradient_of_its_weights():
    rng = np.random.default_rng(0)
    grey, colours, y = rng.random((30, 4)), rng.integers(2, size=30), rng.integers(2, size=30)
    env = Environment.painted(grey, colours, 2, y)
    w, b = rng.normal(size=(8, 1)), np.zeros(1)
    D, S = inner_step_effect.compare([(w, b)], [env, env], env, 0.3, 0.1)
    p = 1 / (1 + np.exp(-(env.x @ w)[:, 0]))
    slope = env.x.T @ (p - y)[:, None] / 30 + 2 * 0.1 * w  # of the risk and the inner L2
    np.testing.assert_allclose(D, grey @ (w[4:] - w[:4])[:, 0])
    np.testing.assert_allclose(S[0], -0.3 * grey @ (slope[4:] - slope[:4])[:, 0])
    np.testing.assert_array_equal(S[0], S[1])


def test_the_line_has_the_correlation_and_the_slope():
    x = np.array([0.0, 1.0, 2.0, 3.0])
    assert inner_step_effect.line_through(x, 5 - x) == (pytest.approx(-1), pytest.approx(-1))
    correlation, slope = inner_step_effect.line_through(x, np.array([0.0, 2.0, 0.0, 2.0]))
    assert slope == pytest.approx(0.4)
    assert 0 < correlation < 0.5
