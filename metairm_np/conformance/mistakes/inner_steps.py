"""Known mistakes of the inner steps, Eq. 3."""

import autograd.numpy as np

from metairm_np._autodiff import tree_map
from metairm_np.conformance.mistakes.catalogue import mistake, wrap
from metairm_np.conformance.mistakes.edits import (
    from_step,
    inner_gradient,
    inner_steps,
    moved,
    norm,
    without,
)
from metairm_np.environments import Environment

# ---- their length --------------------------------------------------------------------------------


@mistake(
    "inner learning rate applied twice",
    "the inner gradient is scaled by alpha where it is computed and again where it is used",
    "multiply it by alpha once",
)
def _(s):
    def wrong(right, objective, params, lr, *args, **given):
        return right(objective, params, lr**2, *args, **given)

    wrap(s, "inner_loop", wrong)


def rate(s, change):
    """Replace alpha by change(alpha, inner_steps)."""

    def wrong(right, objective, params, lr, inner_steps=1, **given):
        return right(objective, params, change(lr, inner_steps), inner_steps, **given)

    wrap(s, "inner_loop", wrong)


@mistake(
    "inner learning rate divided by the number of steps",
    "each of the inner steps has alpha / inner_steps",
    "take each step with alpha",
)
def _(s):
    rate(s, lambda lr, steps: lr / steps)


@mistake(
    "inner steps uphill",
    "theta' is theta + alpha times the gradient",
    "subtract alpha times the gradient",
)
def _(s):
    inner_gradient(s, lambda g, m: -m * g)


@mistake(
    "inner learning rate scaled",
    "the inner steps are c times as long as they should be",
    "take each step with alpha",
    variants=(0.5,),
    number="c",
)
def _(s, c):
    rate(s, lambda lr, steps: c * lr)


@mistake(
    "inner loss summed over samples",
    "the inner steps descend the sum of the samples' losses, the meta-losses are means",
    "take the mean in the inner steps, too",
)
def _(s):
    def wrong(right, params, env, inner_lr, *args, inner_l2=0.0, **given):
        n = len(env)
        return right(params, env, n * inner_lr, *args, inner_l2=inner_l2 / n, **given)

    wrap(s, "adapt", wrong)


@mistake(
    "inner gradient clipped by its norm",
    "the gradient of an inner step is scaled down to the norm c where it is longer, as by "
    "clip_grad_norm_",
    "do not clip in the inner steps",
    variants=(0.25, 0.05),
    number="c",
)
def _(s, c):
    def step(k):
        size = norm(k.g)
        scale = c / size if size > c else 1.0
        return moved(k, tree_map(lambda g, m: scale * g * m, k.g, k.m))

    inner_steps(s, step)


@mistake(
    "inner gradient clipped entry by entry",
    "the entries of an inner step's gradient are cut at -c and c, as by clip_grad_value_",
    "do not clip in the inner steps",
    variants=(0.1, 0.02),
    number="c",
)
def _(s, c):
    inner_gradient(s, lambda g, m: m * np.where(np.abs(g) > c, c * np.sign(g), g))


@mistake(
    "inner gradient normalised",
    "the gradient of an inner step is divided by its norm",
    "multiply the gradient by alpha alone",
)
def _(s):
    def step(k):
        size = norm(k.g)
        return moved(k, tree_map(lambda g, m: m * g / size, k.g, k.m)) if size > 0 else k.params

    inner_steps(s, step)


@mistake(
    "sign of the inner gradient",
    "an inner step goes by alpha along the sign of each entry of the gradient",
    "multiply the gradient itself by alpha",
)
def _(s):
    inner_gradient(s, lambda g, m: m * s.stop_gradient(np.sign(g)))


# ---- their number --------------------------------------------------------------------------------


@mistake(
    "inner steps off by one",
    "the loop takes one inner step more or fewer than it is asked for",
    "take exactly inner_steps steps, the first from theta",
    variants=(1, -1),
)
def _(s, more):
    def wrong(right, objective, params, lr, inner_steps=1, **given):
        if inner_steps + more == 0:
            return tree_map(lambda p: 1 * p, params)
        if given.get("gradient_noise"):
            given["gradient_noise"] = [*given["gradient_noise"], given["gradient_noise"][-1]]
        return right(objective, params, lr, inner_steps + more, **given)

    wrap(s, "inner_loop", wrong)


@mistake(
    "inner_steps ignored",
    "one inner step is taken, however many are asked for",
    "take inner_steps steps",
)
def _(s):
    def wrong(right, objective, params, lr, inner_steps=1, **given):
        return right(objective, params, lr, 1, **given)

    wrap(s, "inner_loop", wrong)


# ---- what is adapted -----------------------------------------------------------------------------


@mistake(
    "biases not adapted",
    "the inner step moves the weights alone",
    "move every parameter in the inner step",
)
def _(s):
    def wrong(right, objective, params, lr, inner_steps=1, **given):
        for t in range(inner_steps):
            moved = right(objective, params, lr, 1, **from_step(t, given))
            params = [(W, b) for (W, _), (_, b) in zip(moved, params)]
        return params

    wrap(s, "inner_loop", wrong)


def only(s, kept):
    """Let an inner step move only what kept(l, n_layers, letter) says."""

    def step(k):
        n, new = len(k.params), moved(k, tree_map(np.multiply, k.g, k.m))
        return [
            tuple(
                after if kept(l, n, letter) else before
                for letter, before, after in zip("Wb", k.params[l], new[l])
            )
            for l in range(n)
        ]

    inner_steps(s, step)


@mistake(
    "weights not adapted",
    "the inner step moves the biases alone",
    "move every parameter in the inner step",
)
def _(s):
    only(s, lambda l, n, letter: letter == "b")


@mistake(
    "only the last layer adapted (ANIL)",
    "the inner steps move the head alone",
    "move every parameter in the inner step",
)
def _(s):
    only(s, lambda l, n, letter: l == n - 1)


@mistake(
    "all but the last layer adapted (BOIL)",
    "the inner steps leave the head alone",
    "move every parameter in the inner step",
)
def _(s):
    only(s, lambda l, n, letter: l < n - 1)


# ---- what they descend ---------------------------------------------------------------------------


@mistake(
    "inner loss over all environments",
    "the inner steps descend the risk of all environments, their mean, their sum, or that of the "
    "pooled samples",
    "descend the risk of environment i alone",
    variants=("mean", "sum", "pooled"),
)
def _(s, how):
    def meta_losses(right, params, envs, *args, **given):
        whole = Environment(*(np.concatenate([getattr(e, a) for e in envs]) for a in "xy"))
        adapt = s.adapt

        def wrong(theta, env, lr, steps=1, *, inner_l2=0.0, **options):
            def objective(p):
                R = s.risk(p, whole) if how == "pooled" else sum(s.risk(p, e) for e in envs)
                R = R / len(envs) if how == "mean" else R
                return R + inner_l2 * s.squared_norm(p)

            return s.inner_loop(objective, theta, lr, steps, **options)

        s.adapt = wrong
        try:
            return right(params, envs, *args, **given)
        finally:
            s.adapt = adapt

    wrap(s, "meta_losses", meta_losses)


@mistake(
    "l2 inside the inner step",
    "the inner steps descend the regularised objective",
    "descend the environment's risk alone in the inner steps (or ask for inner_l2)",
)
def _(s):
    def wrong(right, name, params, envs, l2=0.0, **hyper):
        if name == "meta_irm":
            hyper["inner_l2"] = hyper.get("inner_l2", 0.0) + l2
        return right(name, params, envs, l2=l2, **hyper)

    wrap(s, "value_and_grad", wrong)


@mistake(
    "inner_l2 ignored",
    "the inner steps descend the risk alone, whatever inner_l2 says",
    "add inner_l2 ||theta||^2 to the inner objective",
)
def _(s):
    without(s, "adapt", inner_l2=0.0)


@mistake(
    "inner_l2 without biases",
    "the norm in the inner steps is that of the weights alone",
    "add the squares of the biases, too",
)
def _(s):
    def wrong(params, env, inner_lr, inner_steps=1, *, inner_l2=0.0, **options):
        def objective(p):
            return s.risk(p, env) + inner_l2 * sum(np.sum(W * W) for W, _ in p)

        return s.inner_loop(objective, params, inner_lr, inner_steps, **options)

    s.adapt = wrong
