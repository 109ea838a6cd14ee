"""Bad input to the library: one sentence that names the value and the remedy."""

import numpy as np
import pytest
from problems import noise_for, problem

from metairm_np import Environment, init_mlp, spec

META = {"inner_lr": 0.3, "std_weight": 0.5}
PARAMS, ENVS = problem(0)


def meta(**changes):
    return spec.value_and_grad("meta_irm", PARAMS, ENVS, **{**META, **changes})


def meta_of(envs):
    return spec.value_and_grad("meta_irm", PARAMS, envs, **META)


CASES = {
    "one environment": (
        lambda: spec.meta_irm(PARAMS, ENVS[:1], 0.3, 0.5),
        ValueError,
        "needs 2 or more environments, got 1",
    ),
    "one environment, v_rex": (
        lambda: spec.v_rex(PARAMS, ENVS[:1], 1.0),
        ValueError,
        "v_rex needs 2 or more",
    ),
    "one environment, mm_rex": (
        lambda: spec.mm_rex(PARAMS, ENVS[:1], 0.0),
        ValueError,
        "mm_rex needs 2 or more",
    ),
    "no environment": (
        lambda: spec.erm(PARAMS, []),
        ValueError,
        "erm needs 1 or more environments, got 0",
    ),
    "label too large, binary": (
        lambda: spec.risk(PARAMS, Environment(ENVS[0].x[:1], [2])),
        ValueError,
        "label 2, but 1 output allow 0..1",
    ),
    "label too large, k classes": (
        lambda: spec.risk(problem(0, 3)[0], Environment(ENVS[0].x[:1], [3])),
        ValueError,
        "label 3, but 3 outputs allow 0..2",
    ),
    "negative label": (
        lambda: Environment(np.zeros((1, 2)), [-1]),
        ValueError,
        "label -1; give labels 0..C-1",
    ),
    "label of another type": (
        lambda: Environment(np.zeros((1, 2)), [0.0]),
        TypeError,
        r"y has dtype float64; give integer labels 0..C-1, for instance y.astype\(int\)",
    ),
    "labels of text": (
        lambda: Environment(np.zeros((1, 2)), ["no"]),
        TypeError,
        r"y has dtype <U2; give .*, for instance np.unique\(y, return_inverse=True\)\[1\]",
    ),
    "a tuple as environment": (
        lambda: meta_of([ENVS[0], (ENVS[1].x, ENVS[1].y)]),
        TypeError,
        r"envs\[1\] is of type tuple; make an Environment of it, Environment\(x, y\)",
    ),
    "one environment instead of a list": (
        lambda: meta_of(ENVS[0]),
        TypeError,
        r"envs is a single Environment; give a list, \[env\]",
    ),
    "a tuple in one environment's place": (
        lambda: spec.adapt(PARAMS, (ENVS[0].x, ENVS[0].y), 0.3),
        TypeError,
        "env is of type tuple; make an Environment of it",
    ),
    "the risk on a tuple": (
        lambda: spec.risk(PARAMS, (ENVS[0].x, ENVS[0].y)),
        TypeError,
        "env is of type tuple; make an Environment of it",
    ),
    "NaN": (
        lambda: Environment([[0.0], [np.nan]], [0, 0]),
        ValueError,
        "NaN or infinity in 1 rows, the first is row 1",
    ),
    "infinite": (lambda: Environment([[np.inf]], [0]), ValueError, "NaN or infinity"),
    "shapes": (
        lambda: Environment(np.zeros((2, 3)), [0]),
        ValueError,
        r"shape \(2, 3\) and y \(1,\)",
    ),
    "no samples": (lambda: Environment(np.zeros((0, 3)), np.zeros(0, int)), ValueError, "n >= 1"),
    "environment dtype": (lambda: ENVS[0].astype("float16"), ValueError, "give float32 or float64"),
    "width of x": (
        lambda: spec.logits(PARAMS, np.zeros((1, 7))),
        ValueError,
        "x has 7 columns but W of layer 0 takes 4",
    ),
    "width of a layer": (
        lambda: spec.logits([PARAMS[0], (np.zeros((3, 1)), np.zeros(1))], ENVS[0].x),
        ValueError,
        "layer 0 gives 5 columns but",
    ),
    "bias of another width": (
        lambda: spec.logits([(np.zeros((4, 1)), np.zeros(2))], ENVS[0].x),
        ValueError,
        "not a pair W",
    ),
    "lists for arrays": (
        lambda: spec.logits([([[1.0]], [0.0])], np.zeros((1, 1))),
        ValueError,
        "not a pair W",
    ),
    "whole numbers": (
        lambda: spec.logits([(np.eye(1, dtype=int), np.zeros(1))], np.zeros((1, 1))),
        TypeError,
        "floating-point",
    ),
    "no layers": (lambda: spec.logits([], ENVS[0].x), ValueError, "params is empty"),
    "negative inner_lr": (
        lambda: meta(inner_lr=-0.1),
        ValueError,
        "inner_lr is -0.1; give a finite number >= 0",
    ),
    "infinite inner_lr": (lambda: meta(inner_lr=np.inf), ValueError, "inner_lr is inf"),
    "inner_lr beyond float64": (lambda: meta(inner_lr=10**400), ValueError, "inner_lr is 1000"),
    "inner_lr of another type": (
        lambda: meta(inner_lr="0.1"),
        TypeError,
        "inner_lr is '0.1'; give a number",
    ),
    "no inner steps": (
        lambda: meta(inner_steps=0),
        ValueError,
        "inner_steps is 0; give a whole number >= 1",
    ),
    "half an inner step": (
        lambda: meta(inner_steps=1.5),
        TypeError,
        "inner_steps is 1.5; give a whole number",
    ),
    "negative std_weight": (lambda: meta(std_weight=-1), ValueError, "std_weight is -1"),
    "negative l2": (lambda: meta(l2=-1), ValueError, "l2 is -1"),
    "negative inner_l2": (lambda: meta(inner_l2=-1), ValueError, "inner_l2 is -1"),
    "first_order of another type": (
        lambda: meta(first_order="no"),
        TypeError,
        "first_order is 'no'; give True or False",
    ),
    "negative penalty_weight": (
        lambda: spec.irmv1(PARAMS, ENVS, -1),
        ValueError,
        "penalty_weight is -1",
    ),
    "lambda_min above 1/E": (
        lambda: spec.mm_rex(PARAMS, ENVS, 0.6),
        ValueError,
        "lambda_min is 0.6; give .* <= 0.5",
    ),
    "alien keyword": (
        lambda: meta(outer_lr=1),
        TypeError,
        "no keyword 'outer_lr'; did you mean 'inner_lr'",
    ),
    "alien keyword of a baseline": (
        lambda: spec.value_and_grad("erm", PARAMS, ENVS, inner_lr=1),
        TypeError,
        "erm takes no keyword 'inner_lr'",
    ),
    "unknown objective": (
        lambda: spec.value_and_grad("irm", PARAMS, ENVS),
        ValueError,
        "unknown objective 'irm'; did you mean 'irmv1'",
    ),
    "pairs out of range": (
        lambda: meta(pairs=[(0, 2)]),
        ValueError,
        r"pairs holds \(0, 2\); give \(i, j\) with i and j from 0 to 1",
    ),
    "no pairs": (lambda: meta(pairs=[]), ValueError, "give one or more pairs"),
    "pairs with same_env": (
        lambda: meta(pairs=[(0, 1)], same_env=True),
        ValueError,
        "only without same_env",
    ),
    "noise for too few steps": (
        lambda: meta(inner_steps=2, gradient_noise=noise_for(PARAMS, 2, 1, 0)),
        ValueError,
        r"gradient_noise\[0\]\[1\] has the shapes None; give",
    ),
    "one width": (
        lambda: init_mlp((3,), 0),
        ValueError,
        "give at least the input and the output width",
    ),
    "zero width": (
        lambda: init_mlp((3, 0, 1), 0),
        ValueError,
        "a width in sizes is 0; give a whole number >= 1",
    ),
    "dtype of parameters": (
        lambda: init_mlp((3, 1), 0, dtype="int64"),
        ValueError,
        "dtype is 'int64'; give",
    ),
    "unknown scheme": (lambda: init_mlp((3, 1), 0, scheme="he"), ValueError, "unknown scheme 'he'"),
    "negative seed": (lambda: init_mlp((3, 1), -1), ValueError, "seed is -1; give an integer >= 0"),
}


@pytest.mark.parametrize("case", CASES)
def test_error(case):
    call, kind, message = CASES[case]
    with pytest.raises(kind, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
