"""How alike the outputs of layers are, before and after the inner step and across environments."""

import numpy as np
import pytest

from metairm_np import fast, mlp, spec
from metairm_np.analysis import pwcca, representations
from metairm_np.environments import Environment, synthetic_digits

DIGITS = synthetic_digits(0, n_per_env=300)
PARAMS = mlp.init_mlp((392, 5, 4, 1), 0)


def test_layers_are_those_of_the_network():
    env = DIGITS.train[0]
    outputs = representations.layers(PARAMS, env.x)
    assert [output.shape for output in outputs] == [(300 - 60, 5), (240, 4), (240, 1)]
    assert all((output >= 0).all() for output in outputs[:-1])
    np.testing.assert_allclose(outputs[-1], mlp.logits(PARAMS, env.x))


def test_similarity_after_adaptation_is_that_of_the_specs_inner_step():
    env = DIGITS.train[0]
    adapted = spec.adapt(PARAMS, env, 2.0, inner_l2=0.01)
    pairs = zip(representations.layers(PARAMS, env.x), representations.layers(adapted, env.x))
    expected = [pwcca(before, after) for before, after in pairs]
    for inner_lr, want in ((2.0, expected), (0.0, 1)):
        found = representations.similarity_after_adaptation(PARAMS, env, inner_lr, inner_l2=0.01)
        np.testing.assert_allclose(found, want, rtol=1e-9)


def test_similarity_across_environments_tells_who_sees_the_colour():
    envs = [DIGITS.test(p_e) for p_e in (0.1, 0.5, 0.9)]
    W, b = PARAMS[0]
    blind = [(np.concatenate([W[:196], W[:196]]), b), *PARAMS[1:]]
    np.testing.assert_allclose(representations.similarity_across(blind, envs, -2), 1, atol=1e-6)
    one, half, turned = representations.similarity_across(PARAMS, envs, -2)
    assert one == pytest.approx(1)
    assert half < 0.99
    assert turned < 0.99


def test_one_environments_rows_are_not_taken_for_anothers():
    env = DIGITS.test(0.9)
    shuffled = Environment(env.x[::-1].copy(), env.y[::-1].copy())
    assert representations.similarity_across(PARAMS, [env, shuffled], -2)[1] < 0.5
    assert fast.risk(PARAMS, env) == pytest.approx(fast.risk(PARAMS, shuffled))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
def test_the_similarity_of_logits_is_what_repainting_makes_of_it(share):
    rng = np.random.default_rng(0)
    images, colours = rng.random((4000, 6)), rng.integers(2, size=4000)
    repainted = np.where(rng.random(4000) < share, 1 - colours, colours)
    params = mlp.init_mlp((12, 5, 1), 0)
    envs = [Environment.painted(images, z, 2, colours) for z in (colours, repainted)]
    _, found = representations.similarity_across(params, envs, -1)
    expected = representations.similarity_of_repainted(params, envs[0], share)
    assert abs(found - expected) < 0.03
    assert share == 0 or expected < 0.97
