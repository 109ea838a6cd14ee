"""Known mistakes of meta-IRM's graph: the way back through the inner steps."""

import autograd
import autograd.numpy as np

from metairm_np._autodiff import tree_map
from metairm_np.conformance.mistakes.catalogue import mistake, wrap
from metairm_np.conformance.mistakes.edits import (
    combined,
    from_step,
    inner_gradient,
    inner_steps,
    moved,
    norm,
    way_back,
)
from metairm_np.mlp import squared_norm

# ---- the graph is cut ----------------------------------------------------------------------------


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
    "last inner step without its graph",
    "the graph is cut at the last inner step alone, where a loop ends with a step of its own",
    "keep the inner gradient's graph: torch.autograd.grad(..., create_graph=True), jax.grad inside "
    "jax.grad",
)
def _(s):
    def wrong(right, objective, params, lr, inner_steps=1, **given):
        if inner_steps > 1:
            params = right(objective, params, lr, inner_steps - 1, **given)
        last = {**from_step(inner_steps - 1, given), "first_order": True}
        return right(objective, params, lr, 1, **last)

    wrap(s, "inner_loop", wrong)


@mistake(
    "first_order ignored",
    "`first_order=True` is swallowed: the inner gradients are differentiated all the same",
    "take the inner gradients as constants with first_order",
)
def _(s):
    wrap(
        s,
        "inner_loop",
        lambda right, *args, first_order=False, **given: right(*args, **given),
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


@mistake(
    "Reptile",
    "the outer gradient is the way that the inner steps went, theta - theta'_i, or this by alpha",
    "differentiate the meta-losses by theta",
    variants=(1.0, "by alpha"),
)
def _(s, scale):
    def back(k):
        length = k.lr if scale == "by alpha" else 1.0
        return k.v if k.t else tree_map(lambda p, q: (p - q) / length, k.params, k.adapted)

    way_back(s, back)


# ---- another matrix for the Hessian --------------------------------------------------------------


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
    "second-order term scaled",
    "the way back through an inner step takes v - c alpha H v, with a factor of 1/2, say",
    "use v - alpha H v",
    variants=(0.5,),
    number="c",
)
def _(s, c):
    inner_gradient(s, lambda g, m: m * (c * g + (1 - c) * s.stop_gradient(g)))


@mistake(
    "identity for the Hessian",
    "the way back through an inner step takes (1 - alpha) v",
    "use v - alpha H v, H the Hessian of the inner objective",
)
def _(s):
    def gradient(p, g, m):
        return m * (s.stop_gradient(g) + p - s.stop_gradient(p))

    inner_steps(s, lambda k: moved(k, tree_map(gradient, k.params, k.g, k.m)))


@mistake(
    "Gauss-Newton matrix for the Hessian",
    "the way back takes J' B J for H, J the logits' derivative, B the loss's curvature: what the "
    "network's own curvature adds is lost",
    "differentiate the inner gradient itself",
)
def _(s):
    def back(k):
        return through(k, lambda v: gauss_newton(s, k, v))

    way_back(s, back)


def gauss_newton(s, k, v):
    """Return J' B J v, J the derivative of environment i's logits, B that of the loss by them."""
    product = autograd.make_ggnvp(
        lambda p: s.logits(p, k.env.x), lambda f: s.cross_entropy(f, k.env.y)
    )([tuple(pair) for pair in k.params])
    return tree_map(lambda a, b: a + 2 * k.l2 * b, product([tuple(pair) for pair in v]), v)


def through(k, product):
    """Return v - alpha H (m v), product(v) = H v."""
    return tree_map(lambda v, h: v - k.lr * h, k.v, product(tree_map(np.multiply, k.m, k.v)))


@mistake(
    "Hessian taken at theta'",
    "the Hessian-vector products of the way back are computed at the adapted parameters",
    "compute each at the point before its inner step",
)
def _(s):
    way_back(s, lambda k: through(k, lambda v: k.hessian(k.adapted, v)))


@mistake(
    "Hessian-vector product by central differences",
    "(grad R(theta + h v) - grad R(theta - h v)) / 2 h stands for H v, h = r / ||v||, as in DARTS "
    "(r = 0.01)",
    "differentiate the inner gradient, which costs as much and is exact",
    variants=(0.01, 1e-3),
    number="r",
)
def _(s, r):
    def product(k, v):
        h = r / norm(v)
        up, down = (k.inner(combined(k.params, v, step)) for step in (h, -h))
        return tree_map(lambda a, b: (a - b) / (2 * h), up, down)

    way_back(s, lambda k: through(k, lambda v: product(k, v)))


@mistake(
    "Hessian-vector product by forward differences",
    "(grad R(theta + h v) - grad R(theta)) / h stands for H v",
    "differentiate the inner gradient, which costs as much and is exact",
    variants=(1e-4,),
    number="h",
)
def _(s, h):
    def product(k, v):
        up = k.inner(combined(k.params, v, h))
        return tree_map(lambda a, b: (a - b) / h, up, k.inner(k.params))

    way_back(s, lambda k: through(k, lambda v: product(k, v)))


@mistake(
    "implicit gradient (iMAML)",
    "the way back solves (1 + alpha H) u = v at theta'_i by conjugate gradients, 5 steps or more, "
    "as if theta'_i were the minimum of the inner objective with a proximal term",
    "go back through the inner steps that were taken",
    variants=(5, 50),
)
def _(s, iterations):
    def back(k):
        def matrix(v):
            return tree_map(lambda a, h: a + k.lr * h, v, k.hessian(k.adapted, v))

        return k.v if k.t else conjugate_gradients(matrix, k.v, iterations)

    way_back(s, back)


def conjugate_gradients(A, b, iterations):
    """Return x with A(x) = b, lists of (W, b), after at most so many iterations."""

    def dot(a, b):
        return sum(np.sum(p * q) for one, other in zip(a, b) for p, q in zip(one, other))

    x, r = tree_map(np.zeros_like, b), b
    d, size = r, dot(r, r)
    first = size
    for _ in range(iterations):
        if size <= 1e-30 * first:
            break
        Ad = A(d)
        step = size / dot(d, Ad)
        x, r = combined(x, d, step), combined(r, Ad, -step)
        size, before = dot(r, r), size
        d = combined(r, d, size / before)
    return x
