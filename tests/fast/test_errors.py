"""Bad input to the closed-form engine: the same exception with the same sentence as the spec's."""

from itertools import product

import numpy as np
import pytest
from problems import HYPER, noise_for, problem

from metairm_np import Environment, fast, spec

PARAMS, ENVS = problem(0, n_envs=3)
FIVE, FIVE_ENVS = problem(0, 5, n_envs=3)
(W, B), LAST = PARAMS
X, Y = ENVS[1].x, ENVS[1].y
NOISE = noise_for(PARAMS, 3, 2, 0)
NOT_NUMBERS = (-1, -1e-300, np.nan, np.inf, -np.inf, "0.1", None, True, 1j, [0.1], np.array(0.1))
BAD_PAIRS = ([], [(0, 3)], [(0, 1), (-1, 0)], [(0, 1, 2)], [(0,)], [(0.0, 1)], [("0", "1")],
             np.array([[0.0, 1.0]]), 5, [5])  # fmt: skip
BAD_NOISE = {
    "none at all": [],
    "for two environments": NOISE[:2],
    "for two layers": NOISE[0],
    "a number": 5,
    "a word": "xyz",
    "numbers for arrays": [[[(1, 2)] * 2]] * 3,
    "for one layer": [[step[:1] for step in steps] for steps in NOISE],
    "another shape": [NOISE[0], NOISE[1], [[(W.T, B), LAST]]],
    "another rank": [NOISE[0], NOISE[1], [[(W, B[None]), LAST]]],
}
BAD_LAYERS = {
    "bias of another width": (W, B[:3]),
    "a vector for W": (W[0], B),
    "three arrays": (W, B, B),
    "lists": (W.tolist(), B.tolist()),
    "whole numbers": (W.astype(int), B),
    "whole numbers in b": (W, B.astype(int)),
}
BAD_DATA = {  # which no objective takes: (params, envs)
    "no environment": (PARAMS, []),
    "no layer": ([], ENVS),
    "tuples": (PARAMS, [ENVS[0], (X, Y)]),
    "one environment": (PARAMS, ENVS[0]),
    "width of x": ([(W[:3], B), LAST], ENVS),
    "width of a layer": ([(W, B), (np.zeros((3, 1)), np.zeros(1))], ENVS),
    "width of one x": (PARAMS, [ENVS[0], Environment(X[:, :3], Y)]),
    "label too large": (PARAMS, [ENVS[0], Environment(X, Y + 1)]),
    "label of five too large": (FIVE, [FIVE_ENVS[0], Environment(X, Y + 4)]),
    "label of a painted one": (
        PARAMS,
        [ENVS[0], Environment.painted(np.eye(4), np.zeros(4, int), 1, np.arange(4))],
    ),
}
BAD_VALUES = [  # objective, keyword, values
    *product(["erm"], ["l2"], NOT_NUMBERS),
    *product(["irmv1", "v_rex"], ["penalty_weight"], NOT_NUMBERS),
    *product(["meta_irm"], ["inner_lr", "std_weight", "inner_l2"], NOT_NUMBERS),
    *product(["mm_rex"], ["lambda_min"],
             (0.34, 1 / 3 + 1e-12, 2, np.nan, np.inf, -np.inf, "0.1", None, False)),
    *product(["meta_irm"], ["inner_steps"], (0, -1, 1.0, 1.5, np.nan, "1", None, True)),
    *product(["meta_irm"], ["first_order", "same_env"], (0, 1, "no", None, np.True_)),
    *product(["meta_irm"], ["pairs"], BAD_PAIRS),
    *product(HYPER, ["outer_lr"], [1]),
    ("erm", "inner_lr", 0.1),
    ("irmv1", "penalty_weigth", 1.0),
]  # fmt: skip
CASES = [
    *((f"{name}: {key}={value!r}", name, PARAMS, ENVS, {**HYPER[name], key: value})
      for name, key, value in BAD_VALUES),
    *((f"{name}: {what}", name, *data, HYPER[name])
      for name in HYPER for what, data in BAD_DATA.items()),
    *((what, "erm", [layer, LAST], ENVS, {}) for what, layer in BAD_LAYERS.items()),
    *((f"{name}: one environment", name, PARAMS, ENVS[:1], HYPER[name])
      for name in ("v_rex", "mm_rex", "meta_irm")),
    *((f"{name}: nothing", name, PARAMS, ENVS, {}) for name in HYPER if name != "erm"),
    ("no std_weight", "meta_irm", PARAMS, ENVS, {"inner_lr": 0.3}),
    ("no inner_lr", "meta_irm", PARAMS, ENVS, {"std_weight": 0.5}),
    *((f"{name!r}", name, PARAMS, ENVS, {}) for name in ("irm", "ERM", "", None, 3)),
    ("lambda_min", "meta_irm", PARAMS, ENVS[:2], {**HYPER["meta_irm"], "lambda_min": 0.1}),
    ("pairs", "meta_irm", PARAMS, ENVS,
     {**HYPER["meta_irm"], "pairs": [(0, 1)], "same_env": True}),
    *((f"noise {what}", "meta_irm", PARAMS, ENVS, {**HYPER["meta_irm"], "gradient_noise": noise})
      for what, noise in BAD_NOISE.items()),
    ("noise for two steps of three", "meta_irm", PARAMS, ENVS,
     {**HYPER["meta_irm"], "gradient_noise": NOISE, "inner_steps": 3}),
]  # fmt: skip


def assert_same_error(function, *args, **hyper):
    """Call the `function` of both modules."""
    errors = []
    for module in (spec, fast):
        with pytest.raises((ValueError, TypeError)) as caught:
            getattr(module, function)(*args, **hyper)
        errors.append((caught.type, str(caught.value)))
    assert errors[0] == errors[1]
    assert "\n" not in errors[0][1]


@pytest.mark.parametrize(
    ("name", "params", "envs", "hyper"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_same_error_as_the_spec(name, params, envs, hyper):
    assert_same_error("value_and_grad", name, params, envs, **hyper)


@pytest.mark.parametrize("function", ["risk", "accuracy", "irmv1_penalty"])
@pytest.mark.parametrize(
    "params", [[], [(W[:3], B), LAST], [(W, B[:2]), LAST], [(W.tolist(), B), LAST]]
)
def test_same_error_from_functions_of_one_environment(function, params):
    assert_same_error(function, params, Environment(X[:1], [0]))


@pytest.mark.parametrize(
    "options",
    [{"inner_lr": -1}, {"inner_steps": 0}, {"first_order": 1}, {"inner_l2": True}],
)  # fmt: skip
def test_same_error_from_adapt_and_meta_losses(options):
    options = {"inner_lr": 0.3, **options}
    assert_same_error("adapt", PARAMS, ENVS[0], **options)
    assert_same_error("meta_losses", PARAMS, ENVS, **options)


@pytest.mark.parametrize(
    "options", [{"same_env": 0}, {"pairs": [(0, 3)]}, {"pairs": []}, {"gradient_noise": NOISE[:1]}]
)
def test_same_error_from_meta_losses(options):
    assert_same_error("meta_losses", PARAMS, ENVS, inner_lr=0.3, **options)
