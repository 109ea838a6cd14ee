"""The objectives of `metairm_np.spec` and their gradients, from sums over samples; line numbers are those of docs/derivation.md."""

import numpy as np

from metairm_np import checks
from metairm_np.fast import network
from metairm_np.fast.sums import Kept, sum_over, zeros
from metairm_np.mlp import zip_map
from metairm_np.spec import all_pairs
from metairm_np.spec import sigma as sigma_of

# ---- one environment ---------------------------------------------------------------------------------------------------


def scaled(factor, theta):
    """Give factor * theta."""
    factor = float(factor)  # a Python number leaves float32 as it is
    return zip_map(lambda part: factor * part, theta)


def plus(theta, factor, v):
    """Give theta + factor * v."""
    factor = float(factor)
    return zip_map(lambda p, q: p + factor * q, theta, v)


def gradients(params, envs, kept=None):
    """Give (R^e, grad R^e) of each environment, lines 1 to 4."""

    def kernel(c):
        h, step, f = network.forward(c.thetas[0], c.x, c.hidden, c.known, c.work)
        loss, delta = network.loss_and_slope(f, c.y)
        network.backward(c.thetas[0], h, step, delta, c.totals[0], c.work)
        return loss

    sums = sum_over(kernel, envs, [params], 1, kept)
    return [(loss / len(env), scaled(1 / len(env), total)) for env, (loss, (total,)) in zip(envs, sums)]


def hessian_vector_products(params, env, vectors, kept=None):
    """Give H v for each v of `vectors`, H the Hessian of R^e at params, lines 5 to 7."""

    def kernel(c):
        theta, *vs = c.thetas
        h, step, f = network.forward(theta, c.x, c.hidden, c.known, c.work)
        _, delta = network.loss_and_slope(f, c.y)
        for v, total in zip(vs, c.totals):
            Rh, Rf = network.r_forward(theta, v, h, step, c.work)
            network.r_backward(theta, v, h, step, Rh, delta, network.curve(f, Rf), total, c.work)
        return 0.0

    ((_, totals),) = sum_over(kernel, [env], [params, *vectors], len(vectors), kept)
    return [scaled(1 / len(env), total) for total in totals]


# ---- meta-IRM ----------------------------------------------------------------------------------------------------------


def trajectory(params, env, inner_lr, inner_steps, inner_l2, noise, kept):
    """(8) theta_{t+1} = theta_t - alpha m_t (grad R_i(theta_t) + 2 mu theta_t); give [theta_0, ..., theta_T]."""
    thetas = [params]
    for t in range(inner_steps):
        ((_, g),) = gradients(thetas[-1], [env], kept)
        g = plus(g, 2 * inner_l2, thetas[-1])
        g = g if noise is None else zip_map(np.multiply, noise[t], g)
        thetas.append(plus(thetas[-1], -inner_lr, g))
    return thetas


def pull_back(vectors, thetas, env, inner_lr, inner_l2, noise, kept):
    """(10) For t = T-1, ..., 0: v <- v - alpha (H_i(theta_t) + 2 mu) m_t v, that is, v times d theta'_i / d theta."""
    for t in reversed(range(len(thetas) - 1)):
        us = vectors if noise is None else [zip_map(np.multiply, noise[t], v) for v in vectors]
        Hus = hessian_vector_products(thetas[t], env, us, kept)
        Hus = [plus(Hu, 2 * inner_l2, u) for Hu, u in zip(Hus, us)]
        vectors = [plus(v, -inner_lr, Hu) for v, Hu in zip(vectors, Hus)]
    return vectors


def meta_irm(
    params, envs, inner_lr, std_weight, inner_steps=1, first_order=False, same_env=False, *, inner_l2=0.0, gradient_noise=None,
    pairs=None,
):  # fmt: skip
    """(9)-(11) Meta-IRM: v_i = sum_j w_ij grad R_j(theta'_i), pulled back through the inner steps of i, summed over i.

    w_ij = 1 + kappa (L_ij - mean L), kappa = lambda / (P sigma), is known only after the last meta-loss. But it is affine in
    L_ij, so that two sums over j are enough, of grad R_j and of (L_ij - L_ref) grad R_j, and memory does not grow with the
    number of environments. L_ref, the first meta-loss, keeps the second sum small.
    """
    pairs = all_pairs(len(envs), same_env) if pairs is None else pairs
    L, kept = [], Kept(params, envs)
    plain, weighted = zeros(params), zeros(params)
    for i in sorted({i for i, _ in pairs}):
        noise = None if gradient_noise is None else gradient_noise[i]
        thetas = trajectory(params, envs[i], inner_lr, inner_steps, inner_l2, noise, kept)
        evaluated = gradients(thetas[-1], [envs[j] for first, j in pairs if first == i])
        L += [loss for loss, _ in evaluated]
        vectors = combine(evaluated, L[0])
        if not first_order:
            vectors = pull_back(vectors, thetas, envs[i], inner_lr, inner_l2, noise, kept)
        plain = plus(plain, 1, vectors[0])
        weighted = plus(weighted, L[-1] - L[0], vectors[0]) if len(evaluated) == 1 else plus(weighted, 1, vectors[1])
    mean, sigma = float(np.mean(L)), float(sigma_of(np.array(L)))
    kappa = std_weight / (len(L) * sigma) if sigma > 0 else 0.0
    return sum(L) + std_weight * sigma, plus(scaled(1 + kappa * (L[0] - mean), plain), kappa, weighted)


def combine(evaluated, reference):
    """Give sum_j grad R_j and sum_j (L_ij - reference) grad R_j; of a single j the first is enough."""
    if len(evaluated) == 1:
        return [evaluated[0][1]]
    plain = weighted = zeros(evaluated[0][1])
    for loss, g in evaluated:
        plain, weighted = plus(plain, 1, g), plus(weighted, loss - reference, g)
    return [plain, weighted]
