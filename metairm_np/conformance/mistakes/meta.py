"""Known mistakes of meta-IRM: the inner steps, the pairs, sigma and the way back."""

import autograd.numpy as np

from metairm_np._autodiff import tree_map
from metairm_np.conformance.mistakes.catalogue import mistake, wrap
from metairm_np.mlp import squared_norm


def from_step(t, given):
    """Return the options of `inner_loop` from step t on."""
    noise = given.get("gradient_noise")
    return {**given, "gradient_noise": noise and noise[t:]}


# ---- the graph -----------------------------------------------------------------------------------


@mistake(
    "first-order leak",
    "the graph is cut at the inner step (create_graph missing, detach, stop_gradient, .data, a "
    "plain NumPy call): "
    "theta' is taken as theta plus a constant",
    "keep the inner gradient's graph: torch.autograd.grad(..., create_graph=True), jax.grad inside "
    "jax.grad",
)
def _(s):
    wrap(
        s,
        "inner_loop",
        lambda right, *args, **given: right(*args, **{**given, "first_order": True}),
    )


@mistake(
    "first-order leak in one environment",
    "the graph is cut at the inner step of one environment, the first or the last, say, where a "
    "loop treats it differently",
    "keep the graph of every environment's inner step",
    variants=(0, 1, -1),
)
def _(s, which):
    cut = []

    def meta_losses(right, params, envs, *args, **given):
        cut[:] = [env for e, env in enumerate(envs) if e in (which, which + len(envs))]
        return right(params, envs, *args, **given)

    def adapt(right, params, env, *args, **given):
        leak = any(env is other for other in cut)
        return right(params, env, *args, **({**given, "first_order": True} if leak else given))

    wrap(s, "meta_losses", meta_losses)
    wrap(s, "adapt", adapt)


@mistake(
    "only the last inner step differentiated",
    "theta is detached between inner steps, so that the earlier ones count as constants",
    "keep the graph through all inner steps",
)
def _(s):
    def wrong(right, objective, params, lr, inner_steps=1, **given):
        if inner_steps > 1:
            earlier = {**given, "first_order": True}
            params = right(objective, params, lr, inner_steps - 1, **earlier)
        return right(objective, params, lr, 1, **from_step(inner_steps - 1, given))

    wrap(s, "inner_loop", wrong)


@mistake(
    "Hessian-vector product with the wrong sign",
    "the way back through an inner step takes v + alpha H v",
    "use v - alpha H v, the transpose of d theta' / d theta = 1 - alpha H",
)
def _(s):
    # 2 constant(g) - g has the value g and the derivative -H
    inner_gradient(s, lambda g, m: m * (2 * s.stop_gradient(g) - g))
    wrap(
        s, "hessian_vector_product", lambda right, *args: tree_map(lambda part: -part, right(*args))
    )


@mistake(
    "outer gradient at theta'",
    "the gradient of the whole objective, its norm with it, is taken at the adapted parameters and "
    "applied to theta, as "
    "first-order MAML does with a copy of the model",
    "differentiate the whole objective by theta, through the inner steps, and take l2 ||theta||^2 "
    "at theta",
    variants=(max, min),
)
def _(s, chosen):
    def wrong(right, name, params, envs, l2=0.0, **hyper):
        if name != "meta_irm":
            return right(name, params, envs, l2=l2, **hyper)
        hyper = {**hyper, "first_order": True}
        value, gradient = right(name, params, envs, **hyper)
        pairs = hyper.get("pairs") or s.all_pairs(len(envs), hyper.get("same_env", False))
        i, noise = chosen(i for i, _ in pairs), hyper.get("gradient_noise")
        inner = {key: hyper[key] for key in ("inner_lr", "inner_steps", "inner_l2") if key in hyper}
        adapted = s.adapt(params, envs[i], **inner, gradient_noise=noise and noise[i])
        return value + l2 * float(squared_norm(adapted)), tree_map(
            lambda g, p: g + 2 * l2 * p, gradient, adapted
        )

    wrap(s, "value_and_grad", wrong)


# ---- the inner steps -----------------------------------------------------------------------------


def inner_gradient(s, change):
    """Replace the gradient g of an inner step, with multipliers m (or 1), by change(g, m)."""

    def wrong(
        right, objective, params, inner_lr, inner_steps=1, *, gradient_noise=None, first_order=False
    ):
        gradient_of = s.autograd.grad(objective)
        for t in range(inner_steps):
            g = gradient_of(params)
            g = tree_map(s.stop_gradient, g) if first_order else g
            m = tree_map(np.ones_like, params) if gradient_noise is None else gradient_noise[t]
            params = tree_map(lambda p, part, mult: p - inner_lr * change(part, mult), params, g, m)
        return params

    wrap(s, "inner_loop", wrong)


@mistake(
    "inner learning rate applied twice",
    "the inner gradient is scaled by alpha where it is computed and again where it is used",
    "multiply it by alpha once",
)
def _(s):
    def wrong(right, objective, params, lr, *args, **given):
        return right(objective, params, lr**2, *args, **given)

    wrap(s, "inner_loop", wrong)


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


# ---- DropGrad ------------------------------------------------------------------------------------


@mistake(
    "noise ignored",
    "the DropGrad multipliers are not used",
    "multiply the gradient of each inner step by its multipliers",
)
def ignore_noise(s):
    """Take the inner steps without noise."""
    wrap(s, "inner_loop", lambda right, *args, gradient_noise=None, **given: right(*args, **given))


@mistake(
    "noise not applied in the backward pass",
    "the noise is added to the value of the inner gradient after its graph is built, so that the "
    "way back takes v - alpha H v",
    "multiply inside the graph: the way back is v - alpha H (m v)",
)
def _(s):
    inner_gradient(s, lambda g, m: s.stop_gradient(m * g - g) + g)


@mistake(
    "noise on the outer gradient",
    "the multipliers are applied to the meta-gradient instead of the inner gradients",
    "multiply the inner gradients, inside the graph",
    variants=((0, 0), (-1, -1), (0, -1), (-1, 0)),
)
def _(s, which):
    def wrong(right, name, params, envs, gradient_noise=None, **hyper):
        value, gradient = right(name, params, envs, **hyper)
        i, t = which
        return value, gradient if gradient_noise is None else tree_map(
            lambda m, g: m * g, gradient_noise[i][t], gradient
        )

    ignore_noise(s)
    wrap(s, "value_and_grad", wrong)


# ---- environments and pairs ----------------------------------------------------------------------


@mistake(
    "same environment in both loops",
    "theta'_i is evaluated on environment i itself, as MAML without the exchange",
    "evaluate theta'_i on the environments j != i",
)
def _(s):
    s.all_pairs = lambda n_envs, same_env=False: [(i, i) for i in range(n_envs)]


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


@mistake(
    "last environment's update used for all",
    "one buffer or one closure holds theta', and each inner step overwrites it before the "
    "meta-losses are computed",
    "keep a theta'_i for each environment",
)
def _(s):
    replace_adapted(s, lambda order, adapt: dict.fromkeys(order, adapt(order[-1])))


@mistake(
    "updates accumulate over environments",
    "the inner step changes theta in place, so that environment i + 1 starts from theta'_i",
    "start each environment's inner steps from theta",
    variants=("each its own", "all the last"),
)
def _(s, used):
    def accumulated(order, adapt):
        adapted = {order[0]: adapt(order[0])}
        for before, i in zip(order, order[1:]):
            adapted[i] = adapt(i, adapted[before])
        return adapted if used == "each its own" else dict.fromkeys(order, adapted[order[-1]])

    replace_adapted(s, accumulated)


def change_pairs(s, change):
    """Replace the pairs that are evaluated."""

    def wrong(right, params, envs, *args, same_env=False, pairs=None, **given):
        return right(
            params,
            envs,
            *args,
            same_env=same_env,
            pairs=change(pairs, len(envs), same_env),
            **given,
        )

    wrap(s, "meta_losses", wrong)


@mistake(
    "pairs swapped",
    "for the pair (i, j) environment i is used for the meta-loss and j for the inner steps",
    "adapt to i, evaluate on j",
)
def _(s):
    change_pairs(
        s, lambda pairs, n, same: [(j, i) for i, j in pairs or s.all_pairs(n)] if not same else None
    )


@mistake(
    "pairs ignored",
    "all pairs j != i are evaluated whatever is sampled",
    "evaluate the pairs that are given, each as often as it is there",
)
def _(s):
    change_pairs(s, lambda pairs, n, same: None)


# ---- the braces of Eq. 6 -------------------------------------------------------------------------


def braces(s, combine):
    """Replace Eq. 6 by combine(L, std_weight, params, envs), L the meta-losses."""

    def wrong(params, envs, inner_lr, std_weight, **given):
        return combine(s.meta_losses(params, envs, inner_lr, **given), std_weight, params, envs)

    s.meta_irm = wrong


@mistake(
    "mean over pairs",
    "the meta-losses are averaged",
    "sum them as Eq. 6 does, or scale lambda and the learning rate to suit",
)
def _(s):
    braces(s, lambda L, weight, params, envs: np.mean(L) + weight * s.sigma(L))


@mistake(
    "sigma over risks",
    "sigma is the standard deviation of the risks R^e(theta)",
    "take that of the meta-losses R_j(theta'_i) (Eq. 5)",
)
def _(s):
    braces(s, lambda L, weight, params, envs: np.sum(L) + weight * s.sigma(s.risks(params, envs)))


@mistake(
    "lambda applied twice",
    "sigma is multiplied by lambda where it is computed and again in the sum, or added twice",
    "add lambda sigma once",
    variants=(lambda weight: weight**2, lambda weight: 2 * weight),
)
def _(s, change):
    braces(s, lambda L, weight, params, envs: np.sum(L) + change(weight) * s.sigma(L))


@mistake(
    "sample standard deviation",
    "sigma is divided by n - 1, the default of torch.std",
    "divide by n: (L - L[0]).std(unbiased=False) in torch, less the first since std of equal "
    "values may be rounded above 0",
)
def _(s):
    wrap(
        s,
        "sigma",
        lambda right, L: (
            right(L) * (len(L) / (len(L) - 1)) ** 0.5 if len(L) > 1 else np.nan * right(L)
        ),
    )


@mistake(
    "variance for standard deviation",
    "the root is missing",
    "add lambda times the standard deviation of the meta-losses",
)
def _(s):
    s.sigma = s.variance


@mistake(
    "sigma without gradient",
    "sigma is computed from detached values, or by plain NumPy (float(), item()): it shows in the "
    "value, but trains nothing",
    "keep sigma in the graph",
)
def _(s):
    wrap(s, "sigma", lambda right, L: s.stop_gradient(right(L)))


@mistake(
    "NaN gradient at sigma = 0",
    "the derivative of the root at 0 is infinite, times 0",
    "take 0 as the derivative there, with a condition or a double where (sqrt(var + eps) changes "
    "the value)",
)
def _(s):
    s.sigma = lambda L: np.sqrt(s.variance(L))
