"""Known mistakes of what an environment is: which samples count, and how much."""

import inspect

import autograd.numpy as np

from metairm_np.conformance.mistakes.catalogue import mistake, wrap
from metairm_np.conformance.mistakes.edits import change_envs
from metairm_np.environments import Environment


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


def allow_one(s):
    """Let V-REx and MM-REx take a single environment."""
    s.v_rex, s.mm_rex = inspect.unwrap(s.v_rex), inspect.unwrap(s.mm_rex)


@mistake(
    "environments pooled",
    "a baseline sees all samples as one environment, whose risk counts once or E times",
    "compute the risk of each environment by itself",
    variants=(1, "E"),
)
def _(s, times):
    def change(envs, name):
        if name == "meta_irm" or len(envs) == 1:
            return envs
        whole = Environment(*(np.concatenate([getattr(e, a) for e in envs]) for a in "xy"))
        return [whole] * (len(envs) if times == "E" else 1)

    allow_one(s)
    change_envs(s, change)


@mistake(
    "risks weighted by sample numbers",
    "each risk counts by the environment's share of all samples, or that times E, in the sums of "
    "ERM, IRMv1 and V-REx",
    "let all environments count alike",
    variants=(1, "E"),
)
def _(s, times):
    def total(params, envs):
        n = np.array([len(env) for env in envs]) / sum(map(len, envs))
        return np.sum(n * s.risks(params, envs)) * (len(envs) if times == "E" else 1)

    s.erm = total
    s.v_rex = lambda params, envs, penalty_weight: (
        total(params, envs) + penalty_weight * s.variance(s.risks(params, envs))
    )


@mistake(
    "last environment left out",
    "a loop over the environments ends one too early",
    "let every environment count",
)
def _(s):
    allow_one(s)
    change_envs(s, lambda envs, name: envs if len(envs) < 2 or name == "meta_irm" else envs[:-1])


@mistake(
    "environments padded",
    "environments are filled up with zeros to the same number of samples, and these count, in the "
    "sum or in the number that it is divided by",
    "let the samples of each environment count alone",
    variants=("in the sum", "in the number"),
)
def _(s, where):
    longest = []

    def change(envs, name):
        longest[:] = [max(map(len, envs))]
        if where == "in the number":
            return envs
        rows = [longest[0] - len(env) for env in envs]
        return [
            Environment(np.pad(env.x, ((0, more), (0, 0))), np.pad(env.y, (0, more)))
            for env, more in zip(envs, rows)
        ]

    change_envs(s, change)
    if where == "in the number":
        wrap(
            s,
            "cross_entropy",
            lambda right, f, y: right(f, y) * (len(y) / longest[0] if longest else 1),
        )


def batches(s, size, whole):
    """Take the mean of the means over batches, the last short one too unless `whole`."""

    def wrong(right, f, y):
        starts = [k for k in range(0, len(y), size) if k + size <= len(y) or not whole or not k]
        return sum(right(f[k : k + size], y[k : k + size]) for k in starts) / len(starts)

    wrap(s, "cross_entropy", wrong)


@mistake(
    "mean of minibatch means",
    "the risk is the mean of the means over minibatches of 8, 16, 20, 32, 50 or 64 samples, of "
    "which the last is shorter",
    "weigh the minibatches by their numbers of samples",
    variants=(8, 16, 20, 32, 50, 64),
)
def _(s, size):
    batches(s, size, False)


@mistake(
    "last minibatch dropped",
    "the risk is that of the whole minibatches of 8, 16, 20, 32, 50 or 64 samples (drop_last)",
    "use all samples",
    variants=(8, 16, 20, 32, 50, 64),
)
def _(s, size):
    batches(s, size, True)
