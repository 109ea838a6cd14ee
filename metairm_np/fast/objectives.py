"""The objectives of `metairm_np.spec` with their gradients; line numbers are those of docs/derivation.md.

Each function gives (value, gradient) for checked input; `metairm_np.fast.value_and_grad` checks it.
"""

import numpy as np

from metairm_np import spec
from metairm_np._autodiff import tree_map
from metairm_np._checks import checked
from metairm_np.fast import network
from metairm_np.fast.sums import Kept, sum_over, zeros

# ---- one environment -----------------------------------------------------------------------------


def scaled(factor, theta):
    """Return factor * theta."""
    factor = float(factor)  # a Python number leaves float32 as it is
    return tree_map(lambda part: factor * part, theta)


def plus(theta, factor, v):
    """Return theta + factor * v."""
    factor = float(factor)
    return tree_map(lambda p, q: p + factor * q, theta, v)


def masked(multipliers, v):
    """Return multipliers * v in the dtype of v."""
    return tree_map(lambda m, p: np.multiply(m, p, dtype=p.dtype), multipliers, v)


def weighted_sum(weights, thetas):
    """Return sum_e weights[e] thetas[e]."""
    total = scaled(weights[0], thetas[0])
    for weight, theta in zip(weights[1:], thetas[1:]):
        total = plus(total, weight, theta)
    return total


def risk_and_accuracy(params, env):
    """Return the risk and the share of right answers, lines 1 and 2."""

    def kernel(c):
        _, _, f = network.forward(c.thetas[0], c.x, c.work, c.store, c.known)
        loss, _ = network.loss_and_slope(f, c.y)
        guess = f[:, 0] > 0 if f.shape[1] == 1 else f.argmax(axis=1)
        return np.array([float(loss.sum()), np.count_nonzero(guess == c.y)])

    value, _ = sum_over(kernel, env, [params])
    return value / len(env)


def gradient(params, env, kept=None):
    """Return R^e and its gradient, lines 1 to 4."""

    def kernel(c):
        h, step, f = network.forward(c.thetas[0], c.x, c.work, c.store, c.known)
        loss, delta = network.loss_and_slope(f, c.y)
        network.backward(c.thetas[0], h, step, delta, c.totals[0], c.work)
        return float(loss.sum())

    loss, (total,) = sum_over(kernel, env, [params], 1, kept)
    return loss / len(env), scaled(1 / len(env), total)


def hessian_vector_products(params, env, vectors, kept=None):
    """Return H v for each v of `vectors`, H the Hessian of R^e at params, lines 5 to 7."""

    def kernel(c):
        theta, *vs = c.thetas
        h, step, f = network.forward(theta, c.x, c.work, c.store, c.known)
        _, delta = network.loss_and_slope(f, c.y)
        for v, total in zip(vs, c.totals):
            Rh, Rf = network.r_forward(theta, v, h, step, c.work)
            network.r_backward(
                theta, v, h, step, Rh, delta, network.curve(f, c.y, delta, Rf), total, c.work
            )
        return 0.0

    _, totals = sum_over(kernel, env, [params, *vectors], len(vectors), kept)
    return [scaled(1 / len(env), total) for total in totals]


# ---- the baselines -------------------------------------------------------------------------------


@checked(1)
def erm(params, envs):
    """Return sum_e R^e."""
    value, total = 0.0, zeros(params)
    for env in envs:
        R, g = gradient(params, env)
        value, total = value + R, plus(total, 1, g)
    return value, total


@checked(2)
def v_rex(params, envs, penalty_weight):
    """(12) Return sum_e R^e + penalty_weight Var_e R^e; d Var / d R^e = 2 (R^e - mean R) / E."""
    R, g = zip(*[gradient(params, env) for env in envs])
    E, mean = len(R), sum(R) / len(R)
    value = sum(R) + penalty_weight * float(spec.variance(np.array(R)))
    return value, weighted_sum([1 + penalty_weight * 2 * (r - mean) / E for r in R], g)


@checked(2)
def mm_rex(params, envs, lambda_min):
    """(13) Return (1 - E lambda_min) max_e R^e + lambda_min sum_e R^e; ties share the maximum's derivative."""
    R, g = zip(*[gradient(params, env) for env in envs])
    weight = 1 - len(R) * lambda_min
    weights = [lambda_min + weight * (r == max(R)) / R.count(max(R)) for r in R]
    return weight * max(R) + lambda_min * sum(R), weighted_sum(weights, g)


def penalty_slope(params, env, kept=None):
    """(14) Return R^e and d/dw R^e(w f) at w = 1, the mean of delta . f."""

    def kernel(c):
        _, _, f = network.forward(c.thetas[0], c.x, c.work, c.store, c.known)
        loss, delta = network.loss_and_slope(f, c.y)
        return np.array([float(loss.sum()), float((delta * f).sum())])

    value, _ = sum_over(kernel, env, [params], 0, kept)
    return value / len(env)


@checked(1)
def irmv1(params, envs, penalty_weight):
    """(15) Return sum_e R^e + penalty_weight s_e^2, s_e the slope of line 14; d (delta . f) / d f = delta + (d delta / d f) f."""
    value, total, kept = 0.0, zeros(params), Kept(params, envs)
    for env in envs:
        R, s = penalty_slope(params, env, kept)

        def kernel(c, s=s):
            h, step, f = network.forward(c.thetas[0], c.x, c.work, c.store, c.known)
            _, delta = network.loss_and_slope(f, c.y)
            bent = delta + 2 * penalty_weight * float(s) * (delta + network.curve(f, c.y, delta, f))
            network.backward(c.thetas[0], h, step, bent, c.totals[0], c.work)
            return 0.0

        _, (g,) = sum_over(kernel, env, [params], 1, kept)
        value, total = value + float(R + penalty_weight * s**2), plus(total, 1 / len(env), g)
    return value, total


# ---- meta-IRM ------------------------------------------------------------------------------------


def trajectory(params, env, inner_lr, inner_steps=1, inner_l2=0.0, noise=None, kept=None):
    """(8) theta_{t+1} = theta_t - alpha m_t (grad R_i(theta_t) + 2 mu theta_t); give [theta_0, ..., theta_T]."""
    thetas = [params]
    for t in range(inner_steps):
        _, g = gradient(thetas[-1], env, kept)
        g = plus(g, 2 * inner_l2, thetas[-1])
        g = g if noise is None else masked(noise[t], g)
        thetas.append(plus(thetas[-1], -inner_lr, g))
    return thetas


def pull_back(vectors, thetas, env, inner_lr, inner_l2=0.0, noise=None, kept=None):
    """(10) For t = T-1, ..., 0: v <- v - alpha (H_i(theta_t) + 2 mu) (m_t v), which is v times d theta_T / d theta_0."""
    for t in reversed(range(len(thetas) - 1)):
        vectors = step_back(
            vectors, thetas[t], env, inner_lr, inner_l2, None if noise is None else noise[t], kept
        )
    return vectors


def step_back(vectors, theta, env, inner_lr, inner_l2, multipliers, kept):
    """(10) Return v - alpha (H_i(theta) + 2 mu) (m v) for each v of `vectors`."""
    us = vectors if multipliers is None else [masked(multipliers, v) for v in vectors]
    Hus = hessian_vector_products(theta, env, us, kept)
    return [
        plus(plus(v, -inner_lr, Hu), -2 * inner_lr * inner_l2, u)
        for v, Hu, u in zip(vectors, Hus, us)
    ]


def meta_loss_sums(theta, envs, L):
    """(11) Return sum_j grad R_j and sum_j (R_j - L_ref) grad R_j at theta, the first alone for one j; add the R_j to `L`."""
    plain, weighted = zeros(theta), zeros(theta)
    for env in envs:
        loss, g = gradient(theta, env)
        L.append(loss)
        plain, weighted = plus(plain, 1, g), plus(weighted, loss - L[0], g)
    return [plain, weighted] if len(envs) > 1 else [plain]


def share_of(params, env, others, L, inner_lr, inner_steps, first_order, inner_l2, noise, kept):
    """(8)-(10) Give what `meta_loss_sums` gives at env's theta', pulled back to theta; the inner steps end their life here."""
    thetas = trajectory(params, env, inner_lr, inner_steps, inner_l2, noise, kept)
    vectors = meta_loss_sums(thetas[-1], others, L)
    return (
        vectors if first_order else pull_back(vectors, thetas, env, inner_lr, inner_l2, noise, kept)
    )


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
    """(9), (11) Give sum_ij L_ij + lambda sigma; v_i = sum_j w_ij grad R_j(theta'_i) is pulled back and summed over i.

    w_ij = 1 + kappa (L_ij - mean L), kappa = lambda / (P sigma), is known only after the last
    meta-loss. But it is affine in L_ij, so that two sums over j are enough, of grad R_j and of
    (L_ij - L_ref) grad R_j, and memory does not grow with the number of environments. L_ref, the
    first meta-loss, keeps the second sum small. For a single j the second sum is a multiple of the
    first and need not be pulled back.
    """
    pairs = spec.all_pairs(len(envs), same_env) if pairs is None else pairs
    L, kept = [], Kept(params, envs)
    plain, weighted = zeros(params), zeros(params)
    for i in sorted({i for i, _ in pairs}):
        noise = None if gradient_noise is None else gradient_noise[i]
        others = [envs[j] for first, j in pairs if first == i]
        vectors = share_of(
            params, envs[i], others, L, inner_lr, inner_steps, first_order, inner_l2, noise, kept
        )
        plain = plus(plain, 1, vectors[0])
        weighted = (
            plus(weighted, 1, vectors[1])
            if len(vectors) > 1
            else plus(weighted, L[-1] - L[0], vectors[0])
        )
    offsets = np.array(L) - L[0]  # exactly 0 where all are equal, and then so is sigma
    sigma = float(spec.sigma(offsets))
    kappa = std_weight / (len(L) * sigma) if sigma > 0 else 0.0
    return sum(L) + std_weight * sigma, weighted_sum(
        [1 - kappa * offsets.mean(), kappa], [plain, weighted]
    )


OBJECTIVES = {"erm": erm, "irmv1": irmv1, "v_rex": v_rex, "mm_rex": mm_rex, "meta_irm": meta_irm}
