"""The objectives of `metairm_np.spec` with their gradients.

Line numbers are those of docs/derivation.md. Each objective returns (value, gradient, risks) for
checked input, which `metairm_np.fast.value_and_grad` checks; the risks are the R^e(theta) that it
came by, {e: R^e}.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from metairm_np import spec
from metairm_np._checks import checked
from metairm_np.environments import Environment
from metairm_np.fast import network
from metairm_np.fast.sums import ActivationCache, for_each, sum_over
from metairm_np.fast.theta import Theta

# ---- one environment -----------------------------------------------------------------------------


def risks_and_accuracies(params, envs):
    """Return the risk and the share of right answers on each environment, lines 1 and 2: (E, 2)."""
    known, found = {}, []
    for env in envs:
        if env.drawn_from:
            source, rows = env.drawn_from
            if source not in known:
                known[source] = logits(params, source)
            f = known[source][rows]
            total = judged(f, env.y, network.loss_and_slope(f, env.y)[0])
        else:
            total, _ = sum_over(judged_chunk, env, [params])
        found.append(total / len(env))
    return np.reshape(found, (-1, 2))


def judged(f, y, loss):
    """Return the sum of the losses, and how many answers are right."""
    guess = f[:, 0] > 0 if f.shape[1] == 1 else f.argmax(axis=1)
    return np.array([float(loss.sum()), np.count_nonzero(guess == y)])


def judged_chunk(c):
    """Return the same for a chunk."""
    (_, _, f), loss, _ = c.outputs()
    return judged(f, c.y, loss)


def logits(params, env):
    """Return f of each sample, (n, out), line 1."""
    f = np.empty((len(env), params.sizes[-1]), env.dtype)

    def kernel(c):
        f[c.numbers] = network.forward(c.thetas[0], c.x, c.work).f
        return 0.0

    sum_over(kernel, env, [params])
    return f


def gradient(params, env, cache=None):
    """Return R^e and its gradient, lines 1 to 4."""

    def kernel(c):
        activations, loss, delta = c.outputs()
        network.backward(c.thetas[0], activations, delta, c.totals[0], c.work)
        return float(loss.sum())

    loss, (total,) = sum_over(kernel, env, [params], 1, cache)
    total.scale(1 / len(env))
    return loss / len(env), total


def hessian_vector_products(params, env, vectors, cache=None):
    """Return H v for each v of `vectors`, H the Hessian of R^e at params, lines 5 to 7."""

    def kernel(c):
        theta, *vs = c.thetas
        activations, _, delta = c.outputs()
        for v, total in zip(vs, c.totals):
            R = network.r_forward(theta, v, activations, c.work)
            Rdelta = network.curve(activations.f, c.y, delta, R.f)
            network.r_backward((theta, v), (activations, R), (delta, Rdelta), total, c.work)
        return 0.0

    _, totals = sum_over(kernel, env, [params, *vectors], len(vectors), cache)
    for total in totals:
        total.scale(1 / len(env))
    return totals


# ---- the baselines -------------------------------------------------------------------------------


def weighted_sum(weights, thetas):
    """Return sum_e weights[e] thetas[e]."""
    total = thetas[0].times(float(weights[0]))
    for weight, theta in zip(weights[1:], thetas[1:]):
        total.add(weight, theta)
    return total


@checked(1)
def erm(params, envs):
    """Return sum_e R^e."""
    risks, total = [], None
    for R, g in for_each(lambda env: gradient(params, env), envs, params, envs):
        risks.append(R)
        total = accumulated(total, g)
    return sum(risks), total, dict(enumerate(risks))


def accumulated(total, g):
    """Return total + g; the total may be None, and is changed in place."""
    if total is None:
        return g
    total.add(1, g)
    return total


@checked(2)
def v_rex(params, envs, penalty_weight):
    """(12) Return sum_e R^e + penalty_weight Var_e R^e; d Var / d R^e = 2 (R^e - mean R) / E."""
    R, g = zip(*for_each(lambda env: gradient(params, env), envs, params, envs))
    E, mean = len(R), sum(R) / len(R)
    value = sum(R) + penalty_weight * float(spec.variance(np.array(R)))
    gradient_sum = weighted_sum([1 + penalty_weight * 2 * (r - mean) / E for r in R], g)
    return value, gradient_sum, dict(enumerate(R))


@checked(2)
def mm_rex(params, envs, lambda_min):
    """(13) Return (1 - E lambda_min) max_e R^e + lambda_min sum_e R^e.

    Environments that tie for the maximum share its derivative.
    """
    R, g = zip(*for_each(lambda env: gradient(params, env), envs, params, envs))
    weight = 1 - len(R) * lambda_min
    weights = [lambda_min + weight * (r == max(R)) / R.count(max(R)) for r in R]
    value = weight * max(R) + lambda_min * sum(R)
    return value, weighted_sum(weights, g), dict(enumerate(R))


def penalty_slope(params, env, cache=None):
    """(14) Return R^e and d/dw R^e(w f) at w = 1, the mean of delta . f."""

    def kernel(c):
        (_, _, f), loss, delta = c.outputs()
        return np.array([float(loss.sum()), float((delta * f).sum())])

    value, _ = sum_over(kernel, env, [params], 0, cache)
    return value / len(env)


@checked(1)
def irmv1(params, envs, penalty_weight):
    """(15) Return sum_e R^e + penalty_weight s_e^2, s_e the slope of line 14.

    d (delta . f) / d f = delta + (d delta / d f) f.
    """

    def one(env):
        cache = ActivationCache(params, env)
        R, s = penalty_slope(params, env, cache)

        def kernel(c):
            activations, _, delta = c.outputs()
            f = activations.f
            bent = delta + 2 * penalty_weight * float(s) * (delta + network.curve(f, c.y, delta, f))
            network.backward(c.thetas[0], activations, bent, c.totals[0], c.work)
            return 0.0

        _, (g,) = sum_over(kernel, env, [params], 1, cache)
        g.vector *= 1 / len(env)
        return float(R), float(R + penalty_weight * s**2), g

    risks, value, total = [], 0.0, None
    for R, F, g in for_each(one, envs, params, envs):
        risks.append(R)
        value, total = value + F, accumulated(total, g)
    return value, total, dict(enumerate(risks))


# ---- meta-IRM ------------------------------------------------------------------------------------


class InnerLoop(NamedTuple):
    """The inner steps on one environment: alpha, T, mu and DropGrad's multipliers m_t."""

    env: Environment
    lr: float
    steps: int = 1
    l2: float = 0.0
    noise: Sequence | None = None
    cache: ActivationCache | None = None

    def noisy(self, t, v):
        """Return m_t v in the dtype of v."""
        return v if self.noise is None else v.times(self.noise[t])


def trajectory(params, inner):
    """(8) Return [theta_0, ..., theta_T] and R_i(theta_0).

    theta_{t+1} = theta_t - alpha m_t (grad R_i(theta_t) + 2 mu theta_t).
    """
    thetas, risks = [params], []
    for t in range(inner.steps):
        R, g = gradient(thetas[-1], inner.env, inner.cache)
        risks.append(R)
        if inner.l2:
            g.add(2 * inner.l2, thetas[-1])
        thetas.append(thetas[-1].plus(-inner.lr, inner.noisy(t, g)))
    return thetas, risks[0]


def pull_back(vectors, thetas, inner):
    """(10) Return v times d theta_T / d theta_0 for each v of `vectors`."""
    for t in reversed(range(inner.steps)):
        vectors = step_back(vectors, t, thetas[t], inner)
    return vectors


def step_back(vectors, t, theta, inner):
    """(10) Return v - alpha (H_i(theta_t) + 2 mu) (m_t v) for each v of `vectors`."""
    us = [inner.noisy(t, v) for v in vectors]
    Hus = hessian_vector_products(theta, inner.env, us, inner.cache)
    for u, Hu in zip(us, Hus):
        if inner.l2:
            Hu.add(2 * inner.l2, u)
    return [v.plus(-inner.lr, Hu) for v, Hu in zip(vectors, Hus)]


def unit(L):
    """Return the power of two, 1 or more, in which the weights L_ij - L_ref are below 2.

    Sums with such weights do not overflow where the gradient is finite, and have the same bits.
    """
    widest = max(max(L) - L[0], L[0] - min(L)) if L else 0.0
    return max(1.0, math.ldexp(0.5, math.frexp(widest)[1]))


def meta_loss_sums(theta, envs):
    """(11) Return the R_j, sum_j grad R_j and sum_j (R_j - R_ref) grad R_j, in `unit`, at theta.

    R_ref is the first R_j; for a single j the last sum is 0 and left out.
    """
    R, plain = gradient(theta, envs[0])
    losses, weighted = [R], Theta.zeros(theta.sizes, theta.vector.dtype) if envs[1:] else None
    for env in envs[1:]:
        before, (R, g) = unit(losses), gradient(theta, env)
        losses.append(R)
        plain.add(1, g)
        weighted.scale(before / unit(losses))
        weighted.add((R - losses[0]) / unit(losses), g)
    return losses, [plain, weighted] if envs[1:] else [plain]


def pulled_back_sums(params, others, inner, first_order):
    """(8)-(10) Return R_i(theta) and the `meta_loss_sums` at theta', pulled back to theta.

    The trajectory is a local of this function, so that its memory is free for the next environment.
    """
    thetas, R = trajectory(params, inner)
    losses, vectors = meta_loss_sums(thetas[-1], others)
    return R, losses, vectors if first_order else pull_back(vectors, thetas, inner)


@checked(2)
def meta_irm(
    params,
    envs,
    inner_lr,
    std_weight,
    inner_steps=1,
    first_order=False,
    same_env=False,
    *,
    inner_l2=0.0,
    gradient_noise=None,
    pairs=None,
):
    """(9), (11) Return sum_ij L_ij + lambda sigma.

    v_i = sum_j w_ij grad R_j(theta'_i) is pulled back and summed over i. w_ij = 1 + kappa (L_ij -
    mean L), kappa = lambda / (P sigma), is known only after the last meta-loss. But it is affine in
    L_ij, so that two sums over j are enough, of grad R_j and of (L_ij - L_ref) grad R_j, and memory
    does not grow with the number of environments. L_ref, the first meta-loss, keeps the second sum
    small; it is the first meta-loss of i until all i are known.
    """
    pairs = spec.all_pairs(len(envs), same_env) if pairs is None else pairs

    def one(i):
        noise = None if gradient_noise is None else gradient_noise[i]
        cache = ActivationCache(params, envs[i])
        inner = InnerLoop(envs[i], inner_lr, inner_steps, inner_l2, noise, cache)
        others = [envs[j] for first, j in pairs if first == i]
        return pulled_back_sums(params, others, inner, first_order)

    adapted, risks = sorted({i for i, _ in pairs}), []
    L, plain, weighted = [], None, Theta.zeros(params.sizes, params.vector.dtype)
    for R, losses, vectors in for_each(one, adapted, params, envs):
        risks.append(R)
        before = unit(L)
        L += losses
        weighted.scale(before / unit(L))
        if plain is not None:
            weighted.add((losses[0] - L[0]) / unit(L), vectors[0])
        for vector in vectors[1:]:
            weighted.add(unit(losses) / unit(L), vector)
        plain = accumulated(plain, vectors[0])
    offsets = np.array(L) - L[0]  # exactly 0 where all are equal, and then so is sigma
    mean = float(offsets.sum()) / len(L)
    offsets -= mean
    sigma = math.sqrt(np.dot(offsets, offsets) / len(L))
    kappa = std_weight / (len(L) * sigma) if sigma > 0 else 0.0
    weights = [1 - kappa * mean, kappa * unit(L)]
    value = sum(L) + std_weight * sigma
    return value, weighted_sum(weights, [plain, weighted]), dict(zip(adapted, risks))


OBJECTIVES: dict[str, Any] = {
    "erm": erm,
    "irmv1": irmv1,
    "v_rex": v_rex,
    "mm_rex": mm_rex,
    "meta_irm": meta_irm,
}
