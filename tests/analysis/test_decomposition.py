"""The digits and the colour in a model's logits, on models whose answer is known."""

import numpy as np
import pytest
from problems import problem

from metairm_np import Environment, init_mlp, spec
from metairm_np.analysis import decomposition
from metairm_np.analysis.decomposition import is_painted
from metairm_np.environments import synthetic_digits


def images(k, n=40, p=6, seed=0):
    rng = np.random.default_rng(seed)
    grey = rng.random((n, p)) * (rng.random((n, p)) < 0.7)
    return grey, rng.integers(k, size=n), rng.integers(k, size=n)  # images, colours, labels


@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize("hidden", [(), (7, 4)])
def test_it_is_what_repainting_says(k, hidden):
    grey, colours, y = images(k)
    params = init_mlp((6 * k, *hidden, 1 if k == 2 else k), 3)
    f = [spec.logits(params, Environment.painted(grey, np.full(40, z), k, y).x) for z in range(k)]
    found = decomposition(params, Environment.painted(grey, colours, k, y))
    if k == 2:
        D, mean = f[1] - f[0], (f[0] + f[1]) / 2
        right = (mean[:, 0] > 0) == y
    else:
        others = [[c for c in range(k) if c != z] for z in range(k)]

        def margin(z, colour):
            return f[colour][:, z] - f[colour][:, others[z]].mean(axis=1)

        D = [
            margin(z, z) - np.mean([margin(z, colour) for colour in others[z]], axis=0)
            for z in range(k)
        ]
        right = np.argmax(np.mean(f, axis=0), axis=1) == y
    np.testing.assert_allclose(found, [np.mean(right), np.mean(D), np.std(D)])


def test_two_logits_say_the_same_as_one():
    grey, colours, y = images(2)
    env = Environment.painted(grey, colours, 2, y)
    (W, b), (V, c) = init_mlp((12, 5, 1), 1)
    two = [(W, b), (np.hstack([3 * V, 4 * V]), np.concatenate([c - c, c]))]  # 4 - 3 = 1
    np.testing.assert_allclose(decomposition(two, env), decomposition([(W, b), (V, c)], env))


def test_a_model_that_ignores_the_colour_has_no_effect_and_one_of_colour_alone_no_spread():
    grey, colours, y = images(2)
    grey[:, 0] = 1  # a pixel that is always on
    env = Environment.painted(grey, colours, 2, y)
    w = np.random.default_rng(0).normal(size=(6, 1))
    digits, effect, spread = decomposition([(np.vstack([w, w]), np.zeros(1))], env)
    assert (effect, spread) == (0, 0)
    assert digits == np.mean((grey @ w > 0)[:, 0] == y)
    on = np.eye(12)[[0]].T - np.eye(12)[[6]].T  # -1 for colour 1, +1 for colour 0
    digits, effect, spread = decomposition([(-on, np.zeros(1))], env)
    assert (effect, spread) == (2, 0)
    assert digits == np.mean(y == 0)  # the mean is 0 everywhere: a tie is class 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_classes", [2, 10])
def test_environments_that_differ_in_p_alone_have_the_same(dtype, n_classes):
    trial = synthetic_digits(0, 50, n_classes=n_classes, dtype=dtype)
    params = init_mlp((196 * n_classes, 5, 1 if n_classes == 2 else n_classes), 0, dtype=dtype)
    one, other = (decomposition(params, trial.test(p_e)) for p_e in (0.1, 0.9))
    assert one == other
    assert all(isinstance(number, float) for number in one)


@pytest.mark.parametrize(
    "env",
    [
        synthetic_digits(0, 50).greyscale().test(0.1),
        problem(0, d=392)[1][0],
        problem(0, d=7)[1][0],
    ],
    ids=["grey", "not painted", "odd"],
)
def test_what_is_not_painted_in_a_colour_for_each_class_is_refused(env):
    assert not is_painted(env, 2)
    with pytest.raises(ValueError, match="not of images painted in 2 colours, one for each class"):
        decomposition(init_mlp((env.shape[1], 1), 0), env)
