"""Mistakes of meta-IRM that the catalogue does not have."""

import autograd.numpy as np

from held_out.entry import held_out
from metairm_np._autodiff import tree_map
from metairm_np.conformance.mistakes.catalogue import wrap
from metairm_np.conformance.mistakes.edits import (
    braces,
    combined,
    inner_steps,
    moved,
    way_back,
)
from metairm_np.conformance.mistakes.noise import multipliers
from metairm_np.conformance.mistakes.sigma import change_lambda
from metairm_np.conformance.mistakes.way_back import through
from metairm_np.environments import Environment
from metairm_np.mlp import squared_norm

# ---- the way back --------------------------------------------------------------------------------


@held_out("diagonal of the Hessian by one random vector")
def _(s):
    def product(k, v):
        r = tree_map(lambda p: np.where(np.arange(p.size).reshape(p.shape) % 2, -1.0, 1.0), v)
        return tree_map(lambda a, h, p: a * h * p, r, k.hessian(k.params, r), v)

    way_back(s, lambda k: through(k, lambda v: product(k, v)))


@held_out("meta-gradient by finite differences of the value")
def _(s):
    def wrong(right, name, params, envs, **hyper):
        value, gradient = right(name, params, envs, **hyper)
        if name != "meta_irm" or sum(W.size for W, _ in params) > 100:
            return value, gradient

        def objective(theta):
            return s.meta_irm(theta, envs, **inner) + l2 * squared_norm(theta)

        inner = dict(hyper)
        l2 = inner.pop("l2", 0.0)

        def slope(l, k, at):
            ends = []
            for h in (1e-5, -1e-5):
                near = [[part.copy() for part in pair] for pair in params]
                near[l][k][at] += h
                ends.append(objective([tuple(pair) for pair in near]))
            return (ends[0] - ends[1]) / 2e-5

        return value, [
            tuple(
                np.array([slope(l, k, at) for at in np.ndindex(part.shape)]).reshape(part.shape)
                for k, part in enumerate(pair)
            )
            for l, pair in enumerate(params)
        ]

    wrap(s, "value_and_grad", wrong)


@held_out("average of the gradients at theta and theta'")
def _(s):
    def wrong(right, name, params, envs, **hyper):
        value, gradient = right(name, params, envs, **hyper)
        if name == "meta_irm":
            leaked = right(name, params, envs, **{**hyper, "first_order": True})[1]
            still = right(name, params, envs, **{**hyper, "inner_lr": 0.0})[1]
            gradient = tree_map(lambda a, b: (a + b) / 2, leaked, still)
        return value, gradient

    wrap(s, "value_and_grad", wrong)


@held_out("Hessian of the environment that is evaluated")
def _(s):
    def product(k, v):
        env = k.others[0]
        return s.hessian_vector_product(k.params, env, v)

    way_back(s, lambda k: through(k, lambda v: product(k, v)))


@held_out("way back taken twice")
def _(s):
    def back(k):
        k.v = through(k, lambda v: k.hessian(k.params, v))
        return through(k, lambda v: k.hessian(k.params, v))

    way_back(s, back)


# ---- inner steps ---------------------------------------------------------------------------------


@held_out("only the first layer adapted")
def _(s):
    def step(k):
        new = moved(k, tree_map(np.multiply, k.g, k.m))
        return [new[0], *k.params[1:]]

    inner_steps(s, step)


@held_out("inner gradient clipped array by array")
def _(s):
    def clipped(g, m):
        size = np.sqrt(np.sum(g * g) + 1e-300)
        return m * (g * 0.1 / size if size > 0.1 else g)

    inner_steps(s, lambda k: moved(k, tree_map(clipped, k.g, k.m)))


@held_out("momentum in the inner steps")
def _(s):
    velocity = [None]

    def step(k):
        g = tree_map(np.multiply, k.g, k.m)
        velocity[0] = g if k.t == 0 else combined(g, velocity[0], 0.9)
        return moved(k, velocity[0])

    inner_steps(s, step)


@held_out("inner learning rate decays over the steps")
def _(s):
    inner_steps(s, lambda k: moved(k, tree_map(lambda g, m: g * m / (k.t + 1), k.g, k.m)))


@held_out("every inner step along the gradient at theta")
def _(s):
    first = [None]

    def step(k):
        first[0] = k.g if k.t == 0 else first[0]
        return moved(k, tree_map(np.multiply, first[0], k.m))

    inner_steps(s, step)


@held_out("inner_l2 halved")
def _(s):
    wrap(
        s,
        "adapt",
        lambda right, *args, inner_l2=0.0, **given: right(*args, inner_l2=inner_l2 / 2, **given),
    )


@held_out("inner_l2 decoupled from the learning rate")
def _(s):
    decay = [0.0]

    def adapt(right, *args, inner_l2=0.0, **given):
        decay[0] = inner_l2
        return right(*args, **given)

    def step(k):
        new = moved(k, tree_map(np.multiply, k.g, k.m))
        return combined(new, k.params, -2 * decay[0])

    inner_steps(s, step)
    wrap(s, "adapt", adapt)


# ---- noise ---------------------------------------------------------------------------------------


@held_out("noise on the biases only")
def _(s):
    multipliers(s, lambda m: [(np.ones_like(mW), mb) for mW, mb in m])


@held_out("divided by the noise")
def _(s):
    multipliers(s, lambda m: tree_map(lambda part: 1 / part, m))


@held_out("noise as a mask")
def _(s):
    multipliers(s, lambda m: tree_map(lambda part: 2.0 * (part > 1), m))


@held_out("environments' noise in reverse order")
def _(s):
    def wrong(right, *args, gradient_noise=None, **given):
        return right(*args, gradient_noise=gradient_noise and gradient_noise[::-1], **given)

    wrap(s, "meta_losses", wrong)


@held_out("noise only in the first step")
def _(s):
    def wrong(right, *args, gradient_noise=None, **given):
        ones = gradient_noise and tree_map(np.ones_like, gradient_noise[0])
        noise = gradient_noise and [gradient_noise[0]] + [ones] * (len(gradient_noise) - 1)
        return right(*args, gradient_noise=noise, **given)

    wrap(s, "inner_loop", wrong)


# ---- pairs ---------------------------------------------------------------------------------------


def pairs(s, change):
    """Replace the pairs j != i by change(n_envs)."""
    wrap(s, "all_pairs", lambda right, n, same_env=False: right(n, True) if same_env else change(n))


@held_out("only the next environment")
def _(s):
    pairs(s, lambda n: [(i, (i + 1) % n) for i in range(n)])


@held_out("only the first pair of each i")
def _(s):
    pairs(s, lambda n: [(i, 0 if i else 1) for i in range(n)])


@held_out("last pair left out")
def _(s):
    pairs(s, lambda n: [(i, j) for i in range(n) for j in range(n) if i != j][:-1])


@held_out("adapted to the other environments, evaluated on its own")
def _(s):
    def wrong(right, params, envs, *args, same_env=False, pairs=None, **given):
        if same_env or pairs is not None or given.get("gradient_noise"):
            return right(params, envs, *args, same_env=same_env, pairs=pairs, **given)
        L = []
        for i, env in enumerate(envs):
            others = [other for j, other in enumerate(envs) if j != i]
            whole = Environment(*(np.concatenate([getattr(e, a) for e in others]) for a in "xy"))
            L.append(right(params, [whole, env], *args, pairs=[(0, 1)], **given)[0])
        return np.array(L)

    wrap(s, "meta_losses", wrong)


# ---- the braces ----------------------------------------------------------------------------------


@held_out("sigma within each j")
def _(s):
    def combine(k):
        ends = [j for _, j in k.pairs]
        own = [
            np.array([k.L[p] for p in range(len(ends)) if ends[p] == j]) for j in sorted({*ends})
        ]
        return np.sum(k.L) + k.weight * np.mean(np.array([s.sigma(L) for L in own]))

    braces(s, combine)


@held_out("mean absolute deviation for sigma")
def _(s):
    s.sigma = lambda L: np.mean(np.abs(L - np.mean(L)))


@held_out("convex combination with sigma")
def _(s):
    braces(s, lambda k: (1 - k.weight) * np.sum(k.L) + k.weight * s.sigma(k.L))


@held_out("largest meta-loss for sigma")
def _(s):
    s.sigma = lambda L: np.max(L)


@held_out("root of lambda")
def _(s):
    change_lambda(s, lambda weight, L: weight**0.5)


@held_out("sigma over the logarithms")
def _(s):
    wrap(s, "sigma", lambda right, L: right(np.log(L)))
