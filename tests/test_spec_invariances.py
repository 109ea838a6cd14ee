"""What must not change an objective, and how its gradient must change with it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import HYPER, flat, problem

from metairm_np import Environment, spec

seeds = st.integers(0, 2**32 - 1)
names = st.sampled_from(sorted(HYPER))
shapes = st.sampled_from([(2, ()), (2, (5,)), (3, (6,)), (10, (4, 3))])
relaxed = settings(max_examples=25, deadline=None)


def check_same(name, one, other, move=lambda gradient: gradient):
    """Check that two problems have the same value, and gradient after `move` of the first."""
    value, gradient = spec.value_and_grad(name, *one, **HYPER[name])
    other_value, other_gradient = spec.value_and_grad(name, *other, **HYPER[name])
    assert value == pytest.approx(other_value, rel=1e-12)
    moved = flat(move(gradient))
    np.testing.assert_allclose(moved, flat(other_gradient), atol=1e-10 * (1 + np.abs(moved).max()))


@relaxed
@given(seeds, shapes, names)
def test_order_of_samples(seed, shape, name):
    params, envs = problem(seed, *shape)
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(env)) for env in envs]
    check_same(
        name,
        (params, envs),
        (params, [Environment(env.x[o], env.y[o]) for env, o in zip(envs, orders)]),
    )


@relaxed
@given(seeds, shapes, names)
def test_duplicated_data(seed, shape, name):
    params, envs = problem(seed, *shape)
    check_same(
        name,
        (params, envs),
        (params, [Environment(np.tile(env.x, (3, 1)), np.tile(env.y, 3)) for env in envs]),
    )


@relaxed
@given(seeds, shapes, names, st.permutations(range(4)))
def test_order_of_environments(seed, shape, name, order):
    params, envs = problem(seed, *shape, n_envs=4)
    check_same(name, (params, envs), (params, [envs[e] for e in order]))


@relaxed
@given(seeds, names)
def test_permutation_of_hidden_units(seed, name):
    params, envs = problem(seed, 3, (6,))
    order = np.random.default_rng(seed).permutation(6)

    def permute(layers):
        (W1, b1), (W2, b2) = layers
        return [(W1[:, order], b1[order]), (W2[order], b2)]

    check_same(name, (params, envs), (permute(params), envs), permute)


@relaxed
@given(seeds, names)
def test_relabelling_of_colour_channels(seed, name):
    """Swapping the two halves of the inputs and of the first weights changes nothing."""
    params, envs = problem(seed, 2, (5,), d=6)

    def swap(layers):
        (W, b), *rest = layers
        return [(np.roll(W, 3, axis=0), b), *rest]

    swapped = [Environment(np.roll(env.x, 3, axis=1), env.y) for env in envs]
    check_same(name, (params, envs), (swap(params), swapped), swap)


@relaxed
@given(seeds, names, st.floats(-50, 50))
def test_shift_of_softmax_logits(seed, name, shift):
    params, envs = problem(seed, 3, (5,))
    W, b = params[-1]
    check_same(name, (params, envs), ([*params[:-1], (W, b + shift)], envs))


@relaxed
@given(seeds)
def test_one_logit_is_a_softmax_over_zero_and_itself(seed):
    params, envs = problem(seed, 2, (5,))
    W, b = params[-1]
    two = [*params[:-1], (np.hstack([0 * W, W]), np.hstack([0 * b, b]))]
    assert spec.risk(params, envs[0]) == pytest.approx(spec.risk(two, envs[0]), rel=1e-13)
    assert spec.accuracy(params, envs[0]) == spec.accuracy(two, envs[0])
