"""The spec against the same objectives written in JAX."""

import pytest

jax = pytest.importorskip("jax", reason="JAX is not installed: pip install jax")
jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from cross_framework.cases import CASES, check  # noqa: E402


def logits(params, x):
    for W, b in params[:-1]:
        x = jax.nn.relu(x @ W + b)
    W, b = params[-1]
    return x @ W + b


def loss(f, y):
    if f.shape[1] == 1:
        return jnp.mean(jax.nn.softplus(jnp.where(y == 1, -f[:, 0], f[:, 0])))
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(f), y[:, None], axis=1))


def risk(params, env):
    return loss(logits(params, env[0]), env[1])


def norm(params):
    return sum(jnp.sum(W**2) + jnp.sum(b**2) for W, b in params)


def irmv1_penalty(params, env):
    return jax.grad(lambda w: loss(w * logits(params, env[0]), env[1]))(1.0) ** 2


def meta_irm(
    params, envs, inner_lr, std_weight, inner_steps=1, first_order=False, same_env=False, inner_l2=0.0, gradient_noise=None,
    pairs=None,
):  # fmt: skip
    def adapt(i):
        theta = params
        for t in range(inner_steps):
            g = jax.grad(lambda p: risk(p, envs[i]) + inner_l2 * norm(p))(theta)
            g = jax.lax.stop_gradient(g) if first_order else g
            g = g if gradient_noise is None else jax.tree.map(jnp.multiply, gradient_noise[i][t], g)
            theta = jax.tree.map(lambda p, d: p - inner_lr * d, theta, g)
        return theta

    n = range(len(envs))
    pairs = pairs or [(i, j) for i in n for j in n if (i == j) == same_env]
    L = jnp.stack([risk(adapt(i), envs[j]) for i, j in pairs])
    return jnp.sum(L) + std_weight * jnp.std(L)


def value_and_grad(name, params, envs, l2, **hyper):
    envs = [(jnp.asarray(env.x), jnp.asarray(env.y)) for env in envs]

    def objective(theta):
        R = jnp.stack([risk(theta, env) for env in envs])
        if name == "meta_irm":
            value = meta_irm(theta, envs, **hyper)
        elif name == "irmv1":
            value = jnp.sum(R) + hyper["penalty_weight"] * sum(irmv1_penalty(theta, env) for env in envs)
        elif name == "v_rex":
            value = jnp.sum(R) + hyper["penalty_weight"] * jnp.var(R)
        elif name == "mm_rex":
            value = (1 - len(envs) * hyper["lambda_min"]) * jnp.max(R) + hyper["lambda_min"] * jnp.sum(R)
        else:
            value = jnp.sum(R)
        return value + l2 * norm(theta)

    value, gradient = jax.value_and_grad(objective)(params)
    return float(value), [tuple(np.asarray(part) for part in pair) for pair in gradient]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_jax_agrees(case):
    check(value_and_grad, case)
