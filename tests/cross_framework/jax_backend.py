"""The objectives written in JAX."""

import jax
import jax.numpy as jnp
import numpy as np


def to_jax(envs):
    """Give (x, y) of each environment as arrays on the device."""
    return [(jnp.asarray(env.x), jnp.asarray(env.y)) for env in envs]


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
    x, y = env
    return loss(logits(params, x), y)


def norm(params):
    return sum(jnp.sum(W**2) + jnp.sum(b**2) for W, b in params)


def irmv1_penalty(params, env):
    f = logits(params, env[0])
    return jax.grad(lambda w: loss(w * f, env[1]))(jnp.ones((), f.dtype)) ** 2


def adapt(params, env, inner_lr, inner_steps, inner_l2, noise, first_order):
    for t in range(inner_steps):
        g = jax.grad(lambda p: risk(p, env) + (inner_l2 * norm(p) if inner_l2 else 0.0))(params)
        g = jax.lax.stop_gradient(g) if first_order else g
        g = g if noise is None else jax.tree.map(jnp.multiply, noise[t], g)
        params = jax.tree.map(lambda p, d: p - inner_lr * d, params, g)
    return params


def meta_irm(
    params, envs, inner_lr, std_weight, inner_steps=1, first_order=False, same_env=False, inner_l2=0.0, gradient_noise=None,
    pairs=None,
):  # fmt: skip
    n = range(len(envs))
    pairs = pairs or [(i, j) for i in n for j in n if (i == j) == same_env]
    adapted = {
        i: adapt(params, envs[i], inner_lr, inner_steps, inner_l2, gradient_noise and gradient_noise[i], first_order)
        for i in {i for i, _ in pairs}
    }
    L = jnp.stack([risk(adapted[i], envs[j]) for i, j in pairs])
    return jnp.sum(L) + std_weight * jnp.std(L)


def objective(name, params, envs, l2=0.0, **hyper):
    if name == "meta_irm":
        value = meta_irm(params, envs, **hyper)
    else:
        R = jnp.stack([risk(params, env) for env in envs])
        value = jnp.sum(R)
        if name == "irmv1":  # under jit the logits are computed once
            value += hyper["penalty_weight"] * sum(irmv1_penalty(params, env) for env in envs)
        elif name == "v_rex":
            value += hyper["penalty_weight"] * jnp.var(R)
        elif name == "mm_rex":
            value = (1 - len(envs) * hyper["lambda_min"]) * jnp.max(R) + hyper["lambda_min"] * value
    return value + l2 * norm(params) if l2 else value


def value_and_grad(name, params, envs, **hyper):
    """Give what `metairm_np.spec.value_and_grad` gives."""
    envs = to_jax(envs)
    value, gradient = jax.value_and_grad(lambda theta: objective(name, theta, envs, **hyper))(params)
    return float(value), [tuple(np.asarray(part) for part in pair) for pair in gradient]
