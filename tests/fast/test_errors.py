"""Bad input to the closed-form engine: the same exception with the same sentence as from the spec."""

import numpy as np
import pytest
from problems import HYPER, noise_for, problem

from metairm_np import Environment, fast, spec

PARAMS, ENVS = problem(0, n_envs=3)
FIVE, FIVE_ENVS = problem(0, 5, n_envs=3)
(W, B), LAST = PARAMS
NOISE = noise_for(PARAMS, 3, 2, 0)
NOT_NUMBERS = (-1, -1e-300, np.nan, np.inf, -np.inf, "0.1", None, True, 1j, [0.1], np.array(0.1))
NOT_COUNTS = (0, -1, 1.0, 1.5, np.nan, "1", None, True)
NOT_SWITCHES = (0, 1, "no", None, np.True_)
WHERE = {  # which keyword each objective takes
    "penalty_weight": ("irmv1", "v_rex"),
    "inner_lr": ("meta_irm",),
    "std_weight": ("meta_irm",),
    "inner_l2": ("meta_irm",),
}
CASES = []


def bad(name, what="", params=PARAMS, envs=ENVS, drop=(), **changes):
    hyper = {
        key: value for key, value in {**HYPER.get(name, {}), **changes}.items() if key not in drop
    }
    what = what or ", ".join(
        [f"{key}={value!r}" for key, value in changes.items()] + [f"no {key}" for key in drop]
    )
    CASES.append(pytest.param(name, params, envs, hyper, id=f"{name}: {what}"))


for name in HYPER:
    bad(name, outer_lr=1)
    bad(name, "no environment", envs=[])
    bad(name, "no layer", params=[])
    bad(name, "width of x", params=[(W[:3], B), LAST])
    bad(name, "width of a layer", params=[(W, B), (np.zeros((3, 1)), np.zeros(1))])
    bad(name, "width of one x", envs=[ENVS[0], Environment(ENVS[1].x[:, :3], ENVS[1].y)])
    bad(name, "label too large", envs=[ENVS[0], Environment(ENVS[1].x, ENVS[1].y + 1)])
    bad(
        name,
        "label of five too large",
        params=FIVE,
        envs=[FIVE_ENVS[0], Environment(ENVS[1].x, ENVS[1].y + 4)],
    )
    bad(
        name,
        "label of a painted one",
        envs=[ENVS[0], Environment.painted(np.eye(4), np.zeros(4, int), 1, np.arange(4))],
    )
BAD_LAYERS = {
    "bias of another width": (W, B[:3]),
    "a vector for W": (W[0], B),
    "three arrays": (W, B, B),
    "lists": (W.tolist(), B.tolist()),
    "whole numbers": (W.astype(int), B),
    "whole numbers in b": (W, B.astype(int)),
}
for what, layer in BAD_LAYERS.items():
    bad("erm", what, params=[layer, LAST])
for value in NOT_NUMBERS:
    bad("erm", l2=value)
for name in ("v_rex", "mm_rex", "meta_irm"):
    bad(name, "one environment", envs=ENVS[:1])
for key, names in WHERE.items():
    for name in names:
        for value in NOT_NUMBERS:
            bad(name, **{key: value})
for name, key in (
    ("irmv1", "penalty_weight"),
    ("v_rex", "penalty_weight"),
    ("mm_rex", "lambda_min"),
    ("meta_irm", "inner_lr"),
):
    bad(name, drop=[key])
bad("meta_irm", drop=["std_weight"])
bad("meta_irm", drop=["inner_lr", "std_weight"])
for name in ("irm", "ERM", "", None, 3):
    bad(name, "unknown")
bad("erm", inner_lr=0.1)
bad("irmv1", penalty_weigth=1.0)
bad("meta_irm", envs=ENVS[:2], lambda_min=0.1)
for value in (0.34, 1 / 3 + 1e-12, 2, np.nan, np.inf, -np.inf, "0.1", None, False):
    bad("mm_rex", lambda_min=value)
for value in NOT_COUNTS:
    bad("meta_irm", inner_steps=value)
for value in NOT_SWITCHES:
    bad("meta_irm", first_order=value)
    bad("meta_irm", same_env=value)
for pairs in (
    [],
    [(0, 3)],
    [(0, 1), (-1, 0)],
    [(0, 1, 2)],
    [(0,)],
    [(0.0, 1)],
    [("0", "1")],
    np.array([[0.0, 1.0]]),
    5,
    [5],
):
    bad("meta_irm", pairs=pairs)
bad("meta_irm", pairs=[(0, 1)], same_env=True)
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
for what, noise in BAD_NOISE.items():
    bad("meta_irm", f"gradient_noise {what}", gradient_noise=noise)
bad("meta_irm", "gradient_noise for two steps of three", gradient_noise=NOISE, inner_steps=3)


@pytest.mark.parametrize(("name", "params", "envs", "hyper"), CASES)
def test_same_error_as_the_spec(name, params, envs, hyper):
    errors = []
    for module in (spec, fast):
        with pytest.raises((ValueError, TypeError)) as caught:
            module.value_and_grad(name, params, envs, **hyper)
        errors.append((caught.type, str(caught.value)))
    assert errors[0] == errors[1]
    assert "\n" not in errors[0][1]


@pytest.mark.parametrize("function", ["risk", "accuracy", "irmv1_penalty"])
@pytest.mark.parametrize(
    ("params", "y"),
    [
        ([], [0]),
        ([(W[:3], B), LAST], [0]),
        ([(W, B[:2]), LAST], [0]),
        ([(W.tolist(), B), LAST], [0]),
    ],
)
def test_same_error_from_functions_of_one_environment(function, params, y):
    errors = []
    for module in (spec, fast):
        with pytest.raises(ValueError) as caught:
            getattr(module, function)(params, Environment(ENVS[0].x[:1], y))
        errors.append(str(caught.value))
    assert errors[0] == errors[1]


@pytest.mark.parametrize(
    "options",
    [{"inner_lr": -1}, {"inner_steps": 0}, {"first_order": 1}, {"same_env": 0}, {"inner_l2": True}, {"pairs": [(0, 3)]},
     {"pairs": []}, {"gradient_noise": NOISE[:1]}],
)  # fmt: skip
def test_same_error_from_meta_losses(options):
    errors = []
    for module in (spec, fast):
        with pytest.raises((ValueError, TypeError)) as caught:
            module.meta_losses(PARAMS, ENVS, **{"inner_lr": 0.3, **options})
        errors.append((caught.type, str(caught.value)))
    assert errors[0] == errors[1]
