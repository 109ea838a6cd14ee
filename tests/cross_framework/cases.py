"""The problems on which other frameworks are compared with the spec."""

import itertools

import numpy as np
from problems import HYPER, flat, noise_for, problem

from metairm_np import spec

META = [
    {}, {"inner_steps": 3}, {"first_order": True}, {"same_env": True}, {"inner_l2": 0.05}, {"pairs": [(0, 2), (1, 0), (2, 0)]},
    {"gradient_noise": True}, {"gradient_noise": True, "inner_steps": 2, "inner_l2": 0.05},
]  # fmt: skip
SHAPES = [(2, (), 1), (2, (7,), 2), (2, (6, 5), 3), (5, (7,), 4), (10, (6, 5), 5)]  # classes, hidden layers, seed
CASES = [(name, {}, shape) for name, shape in itertools.product(("erm", "irmv1", "v_rex", "mm_rex"), SHAPES)]
CASES += [("meta_irm", options, shape) for options, shape in itertools.product(META, SHAPES)]


def check(value_and_grad, case, tolerance=1e-11):
    """Compare a framework's float64 value and gradient with the spec's on one case."""
    name, options, (n_classes, hidden, seed) = case
    params, envs = problem(seed, n_classes, hidden, n_envs=3, n=20, d=6)
    hyper = {**HYPER[name], **options, "l2": 0.03}
    if "gradient_noise" in hyper:
        hyper["gradient_noise"] = noise_for(params, 3, hyper.get("inner_steps", 1), seed)
    value, gradient = spec.value_and_grad(name, params, envs, **hyper)
    other_value, other_gradient = value_and_grad(name, params, envs, **hyper)
    assert abs(other_value - value) <= tolerance * abs(value)
    for layer, (ours, theirs) in enumerate(zip(gradient, other_gradient)):
        scale = np.abs(flat([ours])).max()
        difference = np.abs(flat([ours]) - flat([theirs])).max()
        assert difference <= tolerance * scale, f"layer {layer}: largest difference {difference:.1e} on a scale of {scale:.1e}"
