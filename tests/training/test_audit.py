"""What the audit takes for rounding, and what it does not."""

import itertools
from functools import cache

import numpy as np
import pytest
from problems import HYPER, problem

from metairm_np import fast, spec
from metairm_np._autodiff import tree_map
from metairm_np.environments import synthetic_digits
from metairm_np.training import RunOptions, Settings, train
from metairm_np.training.audit import LIMITS, Audit, nearest
from metairm_np.training.state import stream

DTYPES = ("float64", "float32")
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


class Changed:
    """The fast engine, its gradient changed by `change(gradient, name, params, envs, **hyper)`."""

    def __init__(self, change):
        self.change = change

    def value_and_grad(self, name, params, envs, **hyper):
        value, gradient = fast.value_and_grad(name, params, envs, **hyper)
        return value, self.change(gradient, name, params, envs, **hyper)


def scaled(by, dtypes=DTYPES):
    """Return the engine whose gradient is multiplied by `by` where the parameters have a dtype."""

    def change(gradient, name, params, envs, **hyper):
        wrong = str(params[0][0].dtype) in dtypes
        return tree_map(lambda g: g * g.dtype.type(by), gradient) if wrong else gradient

    return Changed(change)


# ---- ties of MM-REx ------------------------------------------------------------------------------


def dead(seed, dtype, n_classes=2):
    """Return a network whose logits are all 0, and environments: their risks tie.

    Their gradients do not.
    """
    params, envs = problem(seed, n_classes, n_envs=3, n=150 + 37 * seed, dtype=dtype)
    (W, b), (V, c) = params
    return [(0 * W, 0 * b - 1), (V, 0 * c)], envs


def sharing(*shares):
    """Return the engine of MM-REx that gives the environments these shares of the maximum."""

    def change(gradient, name, params, envs, *, lambda_min=0.0, l2=0.0):
        if name != "mm_rex":
            return gradient
        each = [fast.value_and_grad("erm", params, [env])[1] for env in envs]
        total = tree_map(lambda part: 2 * l2 * part, params)
        for share, g in itertools.zip_longest(shares, each, fillvalue=0.0):
            weight = lambda_min + (1 - len(envs) * lambda_min) * share
            total = tree_map(lambda t, part, w=weight: t + w * part, total, g)
        return tree_map(lambda t, part: t.astype(part.dtype), total, params)

    return Changed(change)


def compared(engine, params, envs, name="mm_rex", **hyper):
    return Audit(stream(0)).compare(engine, name, params, envs, l2=0.01, **HYPER[name] | hyper)


@each_dtype
@pytest.mark.parametrize("n_classes", [2, 5])
def test_a_tie_may_be_shared_in_any_way(dtype, n_classes):
    for engine in (fast, sharing(1), sharing(0, 0, 1), sharing(0.2, 0.3, 0.5)):
        audits = [compared(engine, *dead(seed, dtype, n_classes)) for seed in range(6)]
        for audit in audits:
            assert audit.passed
            assert audit.largest <= audit.limit == LIMITS[dtype]
            assert (audit.rounding > 0) == (audit.largest_rounding > audit.limit)
        if engine is not fast or dtype == "float32":  # without the ties, these would be errors
            assert max(audit.largest_rounding for audit in audits) > 0.1


@each_dtype
@pytest.mark.parametrize(
    "engine",
    [sharing(1.5, -0.5), sharing(0.5), sharing(1, 1), sharing(-0.2, 0.6, 0.6), scaled(1.1)],
)
def test_a_wrong_gradient_at_a_tie_fails(engine, dtype):
    audits = [compared(engine, *dead(seed, dtype, n_classes=5)) for seed in range(6)]
    assert not any(audit.passed or audit.rounding for audit in audits)


@each_dtype
@pytest.mark.parametrize("engine", [sharing(1), sharing(0, 1), sharing(0.5, 0.5)])
def test_risks_that_do_not_tie_are_not_shared(engine, dtype):
    params, envs = problem(1, n_envs=3, n=40, dtype=dtype)
    R = spec.risks(params, envs)
    assert np.argmax(R) == 2
    audit = compared(engine, params, envs)
    assert not audit.passed
    assert compared(sharing(0, 0, 1), params, envs).passed


def test_nearest_is_the_point_itself_inside_and_on_the_border_outside():
    corners = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    for inside in ([0.5, 0.5], [1.0, 1.0], [2.0, 0.0]):
        np.testing.assert_allclose(nearest(np.array(inside), corners), inside, atol=1e-14)
    for outside in ([3.0, 3.0], [-1.0, -1.0], [-1e9, -1e9], [0.0, -1e-3]):
        x, y = nearest(np.array(outside), corners)
        assert min(x, y, 2 - x - y) >= -1e-12
    assert nearest(np.ones(2), np.zeros((2, 2))).tolist() == [0, 0]


# ---- gradients near 0 ----------------------------------------------------------------------------


SMALL_STEPS = {"lr": 0.5, "optimizer": "sgd", "l2": 0.03}


@cache
def at_the_minimum(name, dtype):
    """Train until the gradient is near 0; return the result and the environments."""
    envs = synthetic_digits(1, 300, validation=0, dtype=dtype).train
    settings = Settings(name, hyper=HYPER[name], hidden=(), steps=1000, **SMALL_STEPS)
    run = RunOptions(audit_every=250, log_every=1000)
    return train(settings, envs, [], 1, run=run), envs


def compared_there(engine, name, dtype):
    result, envs = at_the_minimum(name, dtype)
    return Audit(stream(0)).compare(engine, name, result.params, envs, l2=0.03, **HYPER[name])


@each_dtype
@pytest.mark.parametrize("name", ["erm", "v_rex", "meta_irm"])
def test_a_run_to_the_minimum_passes(name, dtype):
    result, _ = at_the_minimum(name, dtype)
    assert (result.status, result.audit["checks"]) == ("completed", 5)
    assert 0 < result.audit["largest"] <= LIMITS[dtype] < result.audit["largest_rounding"]
    assert 0 < result.audit["rounding"] == result.audit["repeated"] < 5


WRONG = {
    "all wrong": (scaled(1.01), DTYPES),
    "a term left out": (
        Changed(lambda g, name, params, envs, **hyper: fast.value_and_grad("erm", params, envs)[1]),
        DTYPES,
    ),
    "wrong by little": (
        Changed(lambda g, *given, **hyper: tree_map(lambda part: part + part.dtype.type(1e-5), g)),
        DTYPES,
    ),
    "wrong in float32": (scaled(1.5, ("float32",)), ("float32",)),
    "NaN": (scaled(np.nan), DTYPES),
    "NaN in float32": (scaled(np.nan, ("float32",)), ("float32",)),
    "infinite in float32": (scaled(np.inf, ("float32",)), ("float32",)),
}


@each_dtype
@pytest.mark.filterwarnings("ignore:invalid value")  # 0 times infinity
@pytest.mark.parametrize("name", ["erm", "v_rex", "meta_irm"])
@pytest.mark.parametrize("wrong", WRONG)
def test_an_error_where_the_gradient_is_near_0_fails(name, wrong, dtype):
    engine, dtypes = WRONG[wrong]
    audit = compared_there(engine, name, dtype)
    assert audit.passed == (dtype not in dtypes)
    assert audit.passed == (audit.rounding > 0)


def test_what_was_explained_is_kept():
    _, envs = at_the_minimum("erm", "float32")
    audit = compared_there(fast, "erm", "float32")
    assert (audit.rounding, audit.repeated, audit.largest) == (1, 1, 0)
    more = audit.compare(fast, "erm", problem(0, hidden=(), d=392)[0], envs)
    assert (more.checks, more.rounding) == (2, 1)
    assert more.largest_rounding == audit.largest_rounding > 1e-3 > more.largest > 0
    assert more.summary() == {key: value for key, value in more._asdict().items() if key != "rng"}
    assert type(audit.largest_rounding) is float
