"""Known mistakes of the norm in the objective."""

import autograd.numpy as np

from metairm_np.conformance.mistakes.catalogue import mistake, wrap
from metairm_np.conformance.mistakes.edits import norm, without
from metairm_np.mlp import squared_norm


@mistake(
    "biases left out of l2",
    "the norm is that of the weights alone",
    "add the squares of the biases, too (or leave l2 at 0)",
)
def _(s):
    s.squared_norm = lambda params: sum(np.sum(W * W) for W, _ in params)


@mistake(
    "l2 halved",
    "l2 / 2 ||theta||^2, the convention in which the gradient is l2 theta, as an optimizer's "
    "weight_decay has it",
    "use l2 ||theta||^2 with the gradient 2 l2 theta, or hand the optimizer weight_decay = 2 l2",
    variants=("everywhere", "outside the inner steps"),
)
def _(s, where):
    if where == "everywhere":
        s.squared_norm = lambda params: squared_norm(params) / 2
    else:
        wrap(
            s,
            "value_and_grad",
            lambda right, *args, l2=0.0, **hyper: right(*args, l2=l2 / 2, **hyper),
        )


@mistake(
    "l2 missing from the value",
    "the norm's gradient is added, by weight decay in the optimizer say, but its value is not",
    "add l2 ||theta||^2 to the value, too",
)
def _(s):
    def wrong(right, name, params, envs, l2=0.0, **hyper):
        value, gradient = right(name, params, envs, l2=l2, **hyper)
        return value - l2 * float(squared_norm(params)), gradient

    wrap(s, "value_and_grad", wrong)


@mistake("l2 ignored", "the norm is not added", "add l2 ||theta||^2 to every objective")
def _(s):
    without(s, "value_and_grad", l2=0.0)


def scaled(s, factor):
    """Multiply l2 by factor(params, envs)."""
    wrap(
        s,
        "value_and_grad",
        lambda right, name, params, envs, l2=0.0, **hyper: right(
            name, params, envs, l2=l2 * factor(params, envs), **hyper
        ),
    )


@mistake(
    "l2 doubled",
    "the norm is added twice, in the objective and again in the gradient, say",
    "add l2 ||theta||^2 once",
)
def _(s):
    scaled(s, lambda params, envs: 2.0)


@mistake(
    "l2 added once for each environment",
    "each environment's risk has the norm in it",
    "add l2 ||theta||^2 to the objective once",
)
def _(s):
    scaled(s, lambda params, envs: float(len(envs)))


@mistake(
    "mean of squares for the norm",
    "the squares of the parameters are averaged over all of them, or over each array",
    "sum the squares of all weights and biases",
    variants=("all", "each"),
)
def _(s, over):
    if over == "all":
        count = lambda params: sum(W.size + b.size for W, b in params)  # noqa: E731
        s.squared_norm = lambda params: squared_norm(params) / count(params)
    else:
        s.squared_norm = lambda params: sum(np.mean(W * W) + np.mean(b * b) for W, b in params)


@mistake(
    "norm not squared",
    "||theta|| is added, or the sum of the norms of all arrays",
    "add the sum of squares",
    variants=("all", "each"),
)
def _(s, over):
    if over == "all":
        s.squared_norm = norm
    else:
        s.squared_norm = lambda params: sum(norm([(a, 0 * a)]) for pair in params for a in pair)


@mistake("l1 norm", "the absolute values of the parameters are summed", "sum their squares")
def _(s):
    s.squared_norm = lambda params: sum(np.sum(np.abs(a)) for pair in params for a in pair)
