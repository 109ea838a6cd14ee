"""Known mistakes of ERM, IRMv1, V-REx and MM-REx."""

import autograd
import autograd.numpy as np

from metairm_np.conformance.mistakes.catalogue import mistake, wrap


@mistake(
    "mean over environments",
    "risks and penalties are averaged over the environments, as in the published codes of IRM and "
    "in DomainBed",
    "sum over environments as Eq. 1 and 2 do, or multiply by their number",
)
def _(s):
    def irmv1(params, envs, penalty_weight):
        return np.mean(s.risks(params, envs)) + penalty_weight * sum(
            s.irmv1_penalty(params, env) for env in envs
        ) / len(envs)

    s.erm = lambda params, envs: np.mean(s.risks(params, envs))
    s.irmv1 = irmv1
    s.v_rex = lambda params, envs, penalty_weight: (
        s.erm(params, envs) + penalty_weight * s.variance(s.risks(params, envs))
    )


def penalty(s, of):
    """Replace the penalty in Eq. 2 by of(f, y), f the logits."""
    s.irmv1_penalty = lambda params, env: of(s.logits(params, env.x), env.y)


def slope(s, f, y, w=1.0):
    """Return the derivative of the risk of w f by w."""
    return autograd.grad(lambda w: s.cross_entropy(w * f, y))(w)


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
    "IRMv1 penalty over a vector scale",
    "the dummy is a vector of ones, one for each output, and the penalty the squared norm of the "
    "gradient",
    "use one scalar w = 1 that multiplies all outputs",
)
def _(s):
    penalty(s, lambda f, y: np.sum(slope(s, f, y, np.ones(f.shape[1])) ** 2))


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


def spread(s, penalty):
    """Replace V-REx by sum_e R^e + penalty_weight penalty(R)."""

    def wrong(params, envs, penalty_weight):
        R = s.risks(params, envs)
        return np.sum(R) + penalty_weight * penalty(R)

    s.v_rex = wrong


@mistake(
    "V-REx with summed squared differences",
    "(R_1 - R_2)^2, as in the published REx code, is 4 times the variance of two risks",
    "use the population variance of the risks, or divide by the square of their number",
)
def _(s):
    spread(s, lambda R: len(R) ** 2 * s.variance(R))


@mistake(
    "V-REx with sample variance",
    "the variance is divided by E - 1, the default of torch.var",
    "use the population variance: torch.var(unbiased=False), numpy's var",
)
def _(s):
    spread(s, lambda R: len(R) / (len(R) - 1) * s.variance(R))


@mistake(
    "V-REx with standard deviation",
    "the penalty is the standard deviation of the risks",
    "use their variance",
)
def _(s):
    spread(s, s.sigma)


@mistake(
    "MM-REx with absolute difference",
    "|R_1 - R_2|, as in the published REx code, stands for the maximum",
    "use (1 - E lambda_min) max R + lambda_min sum R",
)
def _(s):
    def wrong(params, envs, lambda_min):
        R = s.risks(params, envs)
        return (1 - len(R) * lambda_min) * (np.max(R) - np.min(R)) + lambda_min * np.sum(R)

    s.mm_rex = wrong


@mistake(
    "MM-REx weights without E",
    "the maximum has the weight 1 - lambda_min",
    "give it 1 - E lambda_min, E the number of environments, so that the weights sum to 1",
)
def _(s):
    def wrong(params, envs, lambda_min):
        R = s.risks(params, envs)
        return (1 - lambda_min) * np.max(R) + lambda_min * np.sum(R)

    s.mm_rex = wrong
