"""Known mistakes of IRMv1, Eq. 2."""

from itertools import product

import autograd
import autograd.numpy as np

from metairm_np.conformance.mistakes.catalogue import mistake, wrap
from metairm_np.conformance.mistakes.edits import penalty, slope
from metairm_np.environments import Environment


@mistake(
    "IRMv1 penalty not squared",
    "the penalty is the derivative by the dummy w, or its absolute value",
    "square the derivative of the environment's risk",
    variants=(abs, lambda value: value),
)
def _(s, shape):
    penalty(s, lambda f, y: shape(slope(s, f, y)))


@mistake(
    "IRMv1 penalty per sample",
    "the derivatives by w are squared sample by sample and then averaged",
    "average the derivatives over the samples first, then square",
)
def _(s):
    penalty(s, lambda f, y: np.mean((len(y) * slope(s, f, y, np.ones((len(y), 1)))) ** 2))


@mistake(
    "IRMv1 penalty from two half-batches",
    "the product of the derivatives on the samples 0, 2, ... and 1, 3, ..., DomainBed's and the "
    "IRM paper's unbiased estimate",
    "square the derivative over all samples of the environment",
)
def _(s):
    penalty(s, lambda f, y: slope(s, f[0::2], y[0::2]) * slope(s, f[1::2], y[1::2]))


@mistake(
    "IRMv1 penalty from two consecutive halves",
    "the product of the derivatives on the first half of the samples and on the second",
    "square the derivative over all samples of the environment",
    variants=(lambda n: n // 2, lambda n: (n + 1) // 2),
)
def _(s, half):
    def halves(f, y):
        h = half(len(y))
        return slope(s, f[:h], y[:h]) * slope(s, f[h:], y[h:])

    penalty(s, halves)


@mistake(
    "IRMv1 penalty over a vector scale",
    "the dummy is a vector of ones, one for each output, and the penalty the squared norm of the "
    "gradient",
    "use one scalar w = 1 that multiplies all outputs",
)
def _(s):
    penalty(s, lambda f, y: np.sum(slope(s, f, y, np.ones(f.shape[1])) ** 2))


@mistake(
    "IRMv1 penalty by the last layer",
    "the penalty is the squared norm of the risk's gradient by the last layer, or by its weights",
    "take the derivative by one scalar w = 1 that multiplies the outputs",
    variants=(1, 2),
)
def _(s, arrays):
    def wrong(params, env):
        own = autograd.grad(lambda last: s.risk([*params[:-1], last], env))(tuple(params[-1]))
        return sum(np.sum(part**2) for part in own[:arrays])

    s.irmv1_penalty = wrong


@mistake(
    "IRMv1 penalty of the pooled environments",
    "one penalty is computed, from the samples of all environments",
    "sum the penalties of the environments",
)
def _(s):
    def wrong(params, envs, penalty_weight):
        whole = Environment(*(np.concatenate([getattr(e, a) for e in envs]) for a in "xy"))
        return s.erm(params, envs) + penalty_weight * s.irmv1_penalty(params, whole)

    s.irmv1 = wrong


@mistake(
    "IRMv1 penalty without gradient",
    "the penalty's own graph is not kept (create_graph missing): it shows in the value, but trains "
    "nothing",
    "compute the derivative by w with create_graph=True, and do not detach it",
)
def _(s):
    wrap(s, "irmv1_penalty", lambda right, params, env: s.stop_gradient(right(params, env)))


@mistake(
    "IRMv1 objective divided by the penalty weight",
    "the published IRM code divides the loss by the penalty weight once that exceeds 1",
    "leave that to the optimizer's learning rate",
)
def _(s):
    wrap(
        s,
        "irmv1",
        lambda right, params, envs, penalty_weight: (
            right(params, envs, penalty_weight) / max(penalty_weight, 1.0)
        ),
    )


@mistake(
    "objective divided by 1 + penalty weight",
    "IRMv1, or V-REx, is a convex combination of risks and penalty",
    "add penalty_weight times the penalty, and leave the rest to the learning rate",
    variants=(("irmv1",), ("v_rex",), ("irmv1", "v_rex")),
)
def _(s, names):
    for name in names:
        wrap(
            s,
            name,
            lambda right, params, envs, penalty_weight: (
                right(params, envs, penalty_weight) / (1 + penalty_weight)
            ),
        )


@mistake(
    "penalty_weight ignored",
    "the penalty of IRMv1, or of V-REx, has the weight 1, or 0",
    "multiply the penalty by penalty_weight",
    variants=tuple(product((("irmv1",), ("v_rex",), ("irmv1", "v_rex")), (1.0, 0.0))),
)
def _(s, variant):
    names, weight = variant
    for name in names:
        wrap(s, name, lambda right, params, envs, penalty_weight: right(params, envs, weight))
