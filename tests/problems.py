"""Small random problems for the tests."""

import numpy as np

from metairm_np import Environment, init_mlp, spec

HYPER = {  # every objective with keywords that make each of its terms count
    "erm": {},
    "irmv1": {"penalty_weight": 3.0},
    "v_rex": {"penalty_weight": 3.0},
    "mm_rex": {"lambda_min": -0.7},
    "meta_irm": {"inner_lr": 0.3, "std_weight": 0.5},
}


def problem(seed, n_classes=2, hidden=(5,), n_envs=2, n=12, d=4, dtype="float64"):
    """Return a perceptron with nonzero biases and environments of n, n + 1, ... samples."""
    rng = np.random.default_rng(seed)
    params = init_mlp((d, *hidden, 1 if n_classes == 2 else n_classes), seed)
    params = [(W.astype(dtype), rng.normal(0, 0.3, b.shape).astype(dtype)) for W, b in params]
    envs = []
    for e in range(n_envs):
        x, y = rng.normal(0, 1, (n + e, d)), rng.integers(n_classes, size=n + e)
        envs.append(Environment(x.astype(dtype), y))
    return params, envs


def noise_for(params, n_envs, inner_steps, seed):
    """Return DropGrad multipliers for `params`."""
    rng = np.random.default_rng(seed)
    return [
        [
            [
                tuple(rng.normal(1, 0.5, part.shape).astype(part.dtype) for part in pair)
                for pair in params
            ]
            for _ in range(inner_steps)
        ]
        for _ in range(n_envs)
    ]


def flat(params):
    """Return all numbers of a list of (W, b) as one vector."""
    return np.concatenate([part.ravel() for pair in params for part in pair])


def along(params, direction, step):
    """Return theta + step * direction."""
    return [(W + step * dW, b + step * db) for (W, b), (dW, db) in zip(params, direction)]


def margin(params, envs):
    """Return the distance of the nearest pre-activation of a hidden unit to its kink at 0."""
    nearest = np.inf
    for env in envs:
        h = env.x
        for W, b in params[:-1]:
            a = h @ W + b
            nearest, h = min(nearest, abs(a).min()), np.maximum(a, 0)
    return nearest


def away_from_kinks(params, envs, hyper, least=1e-3):
    """Return whether theta and all points of inner trajectories are `least` away from kinks."""
    points = [params]
    if "inner_lr" in hyper:
        l2 = hyper.get("inner_l2", 0.0)
        for i, env in enumerate(envs):
            theta = params
            for t in range(hyper.get("inner_steps", 1)):
                noise = [hyper["gradient_noise"][i][t]] if "gradient_noise" in hyper else None
                theta = spec.adapt(theta, env, hyper["inner_lr"], inner_l2=l2, gradient_noise=noise)
                points.append(theta)
    return all(margin(theta, envs) > least for theta in points)


def within(count, n, p, sigmas=5):
    """Return whether a binomial count lies within so many standard deviations of its mean."""
    return abs(count - n * p) <= sigmas * max((n * p * (1 - p)) ** 0.5, 1e-9)
