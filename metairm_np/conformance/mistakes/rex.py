"""Known mistakes of V-REx and MM-REx."""

import autograd.numpy as np

from metairm_np.conformance.mistakes.catalogue import mistake
from metairm_np.conformance.mistakes.edits import spread


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
    "V-REx with mean absolute differences",
    "the penalty is |R_i - R_j|, summed or averaged over the pairs of environments",
    "use the population variance of the risks",
    variants=(np.sum, np.mean),
)
def _(s, over):
    def differences(R):
        pairs = [(i, j) for i in range(len(R)) for j in range(i)]
        return over(np.abs(np.array([R[i] - R[j] for i, j in pairs]))) if pairs else 0.0 * R[0]

    spread(s, differences)


@mistake(
    "V-REx penalty without gradient",
    "the variance is computed from detached values (float(), item(), NumPy): it shows in the "
    "value, but trains nothing",
    "keep the variance in the graph",
)
def _(s):
    spread(s, lambda R: s.stop_gradient(s.variance(R)))


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


def extremes(s, largest):
    """Replace the maximum in MM-REx by largest(R)."""

    def wrong(params, envs, lambda_min):
        R = s.risks(params, envs)
        return (1 - len(R) * lambda_min) * largest(R) + lambda_min * np.sum(R)

    s.mm_rex = wrong


@mistake(
    "minimum in MM-REx",
    "the best environment has the large weight",
    "give the large weight to the worst environment",
)
def _(s):
    extremes(s, np.min)


@mistake(
    "soft maximum for MM-REx",
    "log sum exp of the risks, or their sum weighed by a softmax, detached as in group DRO or not, "
    "stands for the maximum",
    "use max R",
    variants=("log sum exp", "softmax", "detached"),
)
def _(s, how):
    def largest(R):
        e = np.exp(R - np.max(R))
        if how == "log sum exp":
            return np.max(R) + np.log(np.sum(e))
        weights = e / np.sum(e)
        return np.sum((s.stop_gradient(weights) if how == "detached" else weights) * R)

    extremes(s, largest)


@mistake(
    "lambda_min ignored",
    "MM-REx has lambda_min = 0, the maximum alone, or 1 / E, the mean",
    "use the lambda_min that is given",
    variants=(0.0, "1 / E"),
)
def _(s, value):
    right = s.mm_rex
    s.mm_rex = lambda params, envs, lambda_min: right(
        params, envs, 1 / len(envs) if value == "1 / E" else value
    )
