"""The edits that many mistakes share: each replaces one function of a copy of the spec."""

from types import SimpleNamespace

import autograd
import autograd.numpy as np

from metairm_np._autodiff import tree_map
from metairm_np.conformance.mistakes.catalogue import wrap
from metairm_np.mlp import squared_norm

# ---- risk and network ----------------------------------------------------------------------------


def binary(s, wrong):
    """Replace the risk of two classes by `wrong`, which gets the original, f (n, 1) and y."""
    wrap(
        s,
        "cross_entropy",
        lambda right, f, y: wrong(right, f, y) if f.shape[1] == 1 else right(f, y),
    )


def log_probabilities(f):
    """Return the logarithms of the classes' probabilities, (n, C), C = 2 for a single output."""
    if f.shape[1] == 1:
        return -np.concatenate([np.logaddexp(0.0, f), np.logaddexp(0.0, -f)], axis=1)
    top = f - np.max(f, axis=1, keepdims=True)
    return top - np.log(np.sum(np.exp(top), axis=1, keepdims=True))


def one_hot(f, y):
    """Return which class each label is, (n, C), C = 2 for a single output."""
    return np.eye(max(f.shape[1], 2))[y]


def perceptron(s, layer, unit):
    """Replace the network by one with its own layers and units."""

    def logits(params, x):
        for W, b in params[:-1]:
            x = unit(layer(x, W, b))
        return layer(x, *params[-1])

    s.logits = logits


def affine(x, W, b):
    """Return x W + b."""
    return np.dot(x, W) + b


# ---- inner steps and the way back ----------------------------------------------------------------


def from_step(t, given):
    """Return the options of `inner_loop` from step t on."""
    noise = given.get("gradient_noise")
    return {**given, "gradient_noise": noise and noise[t:]}


def inner_steps(s, step):
    """Replace an inner step by step(k).

    k.params is the point, k.g the gradient there, k.m its multipliers (or 1), k.lr alpha, k.t the
    number of the step, k.steps how many there are.
    """

    def wrong(
        right, objective, params, inner_lr, inner_steps=1, *, gradient_noise=None, first_order=False
    ):
        k = SimpleNamespace(lr=inner_lr, steps=inner_steps)
        for k.t in range(inner_steps):
            g = s.autograd.grad(objective)(params)
            k.params, k.g = params, tree_map(s.stop_gradient, g) if first_order else g
            k.m = tree_map(np.ones_like, params) if gradient_noise is None else gradient_noise[k.t]
            params = step(k)
        return params

    wrap(s, "inner_loop", wrong)


def moved(k, gradient):
    """Return the point after an inner step along a gradient."""
    return tree_map(lambda p, g: p - k.lr * g, k.params, gradient)


def inner_gradient(s, change):
    """Replace the gradient g of an inner step, with multipliers m (or 1), by change(g, m)."""
    inner_steps(s, lambda k: moved(k, tree_map(change, k.g, k.m)))


def combined(a, b, factor):
    """Return a + factor b."""
    return tree_map(lambda p, q: p + factor * q, a, b)


def norm(params):
    """Return ||params||, 0 with derivative 0 where all is 0."""
    squared = squared_norm(params)
    return np.sqrt(squared) if squared > 0 else 0.0 * squared


def way_back(s, back):
    """Replace the way from theta'_i back to theta in the meta-gradient, v <- back(k) a step.

    k.v begins as the gradient at theta'_i and goes through the steps from the last to the first;
    k.params is the point before the step, k.adapted theta'_i, k.env environment i, k.l2 inner_l2,
    k.m the multipliers; k.inner(params) is the gradient that the step descends,
    k.hessian(params, v) its derivative times v.
    """

    def wrong(right, name, params, envs, l2=0.0, **hyper):
        value, gradient = right(name, params, envs, l2=l2, **hyper)
        if name != "meta_irm" or hyper.get("first_order"):
            return value, gradient
        inner = {key: part for key, part in hyper.items() if key not in ("std_weight", "same_env")}
        pairs = inner.pop("pairs", None) or s.all_pairs(len(envs), hyper.get("same_env", False))
        L = s.meta_losses(params, envs, **inner, pairs=pairs)
        weights = 1 + hyper["std_weight"] * autograd.grad(s.sigma)(L)
        steps, noise = inner.pop("inner_steps", 1), inner.pop("gradient_noise", None)
        total = tree_map(lambda p: 2 * l2 * p, params)
        for i in sorted({i for i, _ in pairs}):
            path = [params] + [
                s.adapt(params, envs[i], **inner, inner_steps=t, gradient_noise=noise and noise[i])
                for t in range(1, steps + 1)
            ]
            k = SimpleNamespace(lr=inner["inner_lr"], env=envs[i], adapted=path[-1])
            k.l2 = inner.get("inner_l2", 0.0)
            k.others = [envs[j] for a, j in pairs if a == i]
            k.inner = lambda at, env=envs[i], l2=k.l2: autograd.grad(
                lambda p: s.risk(p, env) + l2 * squared_norm(p)
            )(at)
            k.hessian = lambda at, v, inner=k.inner: products(inner, at, v)
            own = [(w, envs[j]) for w, (a, j) in zip(weights, pairs) if a == i]
            k.v = autograd.grad(lambda p, own=own: sum(w * s.risk(p, env) for w, env in own))(
                k.adapted
            )
            for k.t in reversed(range(steps)):
                k.params = path[k.t]
                k.m = noise[i][k.t] if noise else tree_map(np.ones_like, params)
                k.v = back(k)
            total = tree_map(np.add, total, k.v)
        return value, total

    wrap(s, "value_and_grad", wrong)


def products(gradient, at, v):
    """Return the derivative of a gradient times v."""
    return autograd.grad(
        lambda p: sum(
            np.sum(a * b) for pair, other in zip(gradient(p), v) for a, b in zip(pair, other)
        )
    )([tuple(pair) for pair in at])


# ---- environments, pairs and the braces of Eq. 6 -------------------------------------------------


class Changed(list):
    """A list of environments that were changed before."""


def change_envs(s, change):
    """Replace the environments of every objective by change(envs, name)."""

    def wrong(right, *args, **hyper):
        *name, params, envs = args[:3] if isinstance(args[0], str) else args[:2]
        if not isinstance(envs, Changed):
            envs = Changed(change(envs, name[0] if name else "meta_irm"))
        return right(*name, params, envs, *args[len(name) + 2 :], **hyper)

    wrap(s, "value_and_grad", wrong)
    wrap(s, "meta_losses", wrong)


def replace_adapted(s, adapted_of):
    """Replace theta'_i by adapted_of(order, adapt)[i], adapt(i, start=theta) the right one."""

    def wrong(
        right,
        params,
        envs,
        inner_lr,
        inner_steps=1,
        *,
        same_env=False,
        gradient_noise=None,
        pairs=None,
        **given,
    ):
        pairs = s.all_pairs(len(envs), same_env) if pairs is None else pairs

        def adapt(i, start=params):
            noise = gradient_noise and gradient_noise[i]
            return s.adapt(start, envs[i], inner_lr, inner_steps, gradient_noise=noise, **given)

        adapted = adapted_of(sorted({i for i, _ in pairs}), adapt)
        return np.array([s.risk(adapted[i], envs[j]) for i, j in pairs])

    wrap(s, "meta_losses", wrong)


def change_pairs(s, change):
    """Replace the pairs that are evaluated by change(pairs, n_envs, same_env), pairs None or so."""

    def wrong(right, params, envs, *args, same_env=False, pairs=None, **given):
        pairs = change(pairs, len(envs), same_env)
        return right(params, envs, *args, same_env=same_env, pairs=pairs, **given)

    wrap(s, "meta_losses", wrong)


def braces(s, combine):
    """Replace Eq. 6 by combine(k).

    k.L are the meta-losses, k.weight is lambda, k.params, k.envs, k.pairs what they belong to.
    """

    def wrong(params, envs, inner_lr, std_weight, inner_steps=1, **given):
        L = s.meta_losses(params, envs, inner_lr, inner_steps, **given)
        pairs = given.get("pairs") or s.all_pairs(len(envs), given.get("same_env", False))
        return combine(
            SimpleNamespace(L=L, weight=std_weight, params=params, envs=envs, pairs=pairs)
        )

    s.meta_irm = wrong


# ---- baselines -----------------------------------------------------------------------------------


def penalty(s, of):
    """Replace the penalty in Eq. 2 by of(f, y), f the logits."""
    s.irmv1_penalty = lambda params, env: of(s.logits(params, env.x), env.y)


def slope(s, f, y, w=1.0):
    """Return the derivative of the risk of w f by w."""
    return autograd.grad(lambda w: s.cross_entropy(w * f, y))(w)


def spread(s, penalty):
    """Replace V-REx by sum_e R^e + penalty_weight penalty(R)."""

    def wrong(params, envs, penalty_weight):
        R = s.risks(params, envs)
        return np.sum(R) + penalty_weight * penalty(R)

    s.v_rex = wrong


def without(s, function, **default):
    """Make a function ignore a keyword: it always has the value given here."""
    wrap(s, function, lambda right, *args, **given: right(*args, **{**given, **default}))
