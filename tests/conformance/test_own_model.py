"""check_objective: the equations around one's own risk, here of a network of sines in autograd."""

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

from metairm_np._autodiff import stop_gradient
from metairm_np.conformance import check_objective, equations
from metairm_np.conformance.own_model import LOOK_ALIKE
from metairm_np.conformance.trees import Layout


def draw(seed=0):
    """Return parameters and three environments of real targets: no classification at all."""
    rng = np.random.default_rng(seed)
    theta = {"W": rng.normal(size=(5, 6)), "head": [rng.normal(size=6), np.array(0.3)]}
    envs = [(rng.normal(size=(n, 5)), rng.normal(size=n)) for n in (12, 9, 20)]
    return theta, envs


THETA, ENVS = draw()


def risk(theta, env, scale=1.0):
    x, y = env
    v, c = theta["head"]
    f = anp.dot(anp.sin(anp.dot(x, theta["W"])), v) + c
    return anp.mean((scale * f - y) ** 2)


def grad(theta, env, scale=1.0):
    return autograd.grad(risk)(theta, env, scale)


def mapped(f, *trees):
    return {
        "W": f(*(tree["W"] for tree in trees)),
        "head": [f(*(tree["head"][k] for tree in trees)) for k in (0, 1)],
    }


def squared_norm(theta):
    return anp.sum(theta["W"] ** 2) + anp.sum(theta["head"][0] ** 2) + theta["head"][1] ** 2


class Own:
    """Somebody's training code, right or with a mistake."""

    def __init__(self, first_order=False, same_env=False, ddof=0, penalty=2):
        self.first_order, self.same_env, self.ddof = first_order, same_env, ddof
        self.penalty = penalty

    def meta_irm(self, theta, envs, inner_lr, std_weight, inner_steps=1):
        losses = []
        for i, env in enumerate(envs):
            adapted = theta
            for _ in range(inner_steps):
                g = grad(adapted, env)
                g = mapped(stop_gradient, g) if self.first_order else g
                adapted = mapped(lambda p, d: p - inner_lr * d, adapted, g)
            losses += [risk(adapted, e) for j, e in enumerate(envs) if (j == i) == self.same_env]
        L = anp.array(losses)
        squares = anp.sum((L - anp.mean(L)) ** 2)
        return anp.sum(L) + std_weight * anp.sqrt(squares / (len(losses) - self.ddof))

    def erm(self, theta, envs):
        return sum(risk(theta, env) for env in envs)

    def v_rex(self, theta, envs, penalty_weight):
        R = anp.array([risk(theta, env) for env in envs])
        return anp.sum(R) + penalty_weight * anp.var(R)

    def irmv1(self, theta, envs, penalty_weight):
        slopes = [autograd.grad(risk, 2)(theta, env, 1.0) for env in envs]
        return self.erm(theta, envs) + penalty_weight * sum(s**self.penalty for s in slopes)

    def value_and_grad(self, name, theta, envs, *, l2=0.0, **hyper):
        def objective(theta):
            return getattr(self, name)(theta, envs, **hyper) + l2 * squared_norm(theta)

        return autograd.value_and_grad(objective)(theta)


def check(own=None, **options):
    value_and_grad = options.pop("value_and_grad", (own or Own()).value_and_grad)
    given = {"risk": risk, "theta": THETA, "envs": ENVS, "grad": grad, "inner_lr": 0.02} | options
    return check_objective(value_and_grad, **given)


# ---- right and wrong -----------------------------------------------------------------------------


def test_a_right_objective_passes_within_a_narrow_tolerance():
    report = check()
    assert report.passed, report.text()
    assert [row.name for row in report.rows] == [
        "grad of risk", "erm", "irmv1", "v_rex",
        "meta_irm_without_sigma", "meta_irm", "meta_irm_two_steps", "meta_irm_l2",
    ]  # fmt: skip
    assert all(size < 1e-8 for row in report.rows for size in row.allowed.values())
    assert "Passed: every answer is what the equations give." in report.text()


@pytest.mark.parametrize("name", LOOK_ALIKE)
def test_a_mistake_is_rejected_and_named(name):
    report = check(Own(**LOOK_ALIKE[name]))
    assert not report.passed
    assert report.diagnosis == [name]
    assert f"Diagnosis: {name}\n  cause: " in report.text()
    right = {row.name for row in report.rows if row.ok}
    assert {"grad of risk", "erm", "irmv1", "v_rex"} <= right


def test_a_penalty_that_is_not_squared_is_rejected():
    report = check(Own(penalty=1))
    assert [row.name for row in report.wrong] == ["irmv1"]
    assert report.diagnosis == []


@pytest.mark.parametrize("size", [1e-7, 1e-3])
@pytest.mark.parametrize("leaf", ["W", "head.1"])
def test_a_small_error_in_one_leaf_is_seen_and_where(size, leaf):
    def off(*args, **hyper):
        value, gradient = Own().value_and_grad(*args, **hyper)
        if leaf == "W":
            gradient["W"][2, 3] += size * np.abs(gradient["W"]).max()
        else:
            gradient["head"][1] = gradient["head"][1] * (1 + size)
        return value, gradient

    report = check(value_and_grad=off)
    assert [row.worst for row in report.wrong] == [leaf] * 7


def test_a_gradient_that_is_not_the_risks_is_told_first():
    report = check(grad=lambda theta, env: mapped(lambda g: 1.001 * g, grad(theta, env)))
    assert [row.name for row in report.wrong] == ["grad of risk"]
    assert not report.passed


def test_float32_is_told():
    def single(theta, env):
        return mapped(np.float32, grad(theta, env))

    report = check(grad=single)
    assert report.wrong == report.rows[:1]
    assert 1e-9 < report.wrong[0].differences["env 0"] < 1e-6
    assert "grad is not the gradient of risk in float64; nothing else was asked" in report.text()
    report = check(grad=single, risk=lambda theta, env: np.float32(risk(theta, env)))
    assert report.wrong[0].problem.startswith("cannot be decided: differences are off by")


def test_noise_inside_is_told():
    rng = np.random.default_rng(0)

    def noisy(theta, env):
        return mapped(lambda g: g * (1 + 1e-5 * rng.normal(size=g.shape)), grad(theta, env))

    assert [row.name for row in check(grad=noisy).wrong] == ["grad of risk"]


def test_the_measured_error_covers_the_true_one():
    """On a risk whose meta-gradient is known: R = a'theta + (theta'D theta) / 2, H = D."""
    rng = np.random.default_rng(1)
    a, D = rng.normal(size=(2, 7)), rng.normal(size=(2, 7))
    theta = rng.normal(size=7)
    model = equations.Model(
        Layout([theta]),
        lambda t, e: a[e] @ t[0] + D[e] @ t[0] ** 2 / 2,
        lambda t, e: [a[e] + D[e] * t[0]],
        [0, 1],
    )
    found, error, _ = equations.extrapolated(
        equations.meta_irm(model, theta, inner_lr=0.1, std_weight=0.0, inner_steps=2)
    )
    right = 0
    for i, j in ((0, 1), (1, 0)):
        adapted = theta
        for _ in range(2):
            adapted = adapted - 0.1 * (a[i] + D[i] * adapted)
        right = right + (1 - 0.1 * D[i]) ** 2 * (a[j] + D[j] * adapted)
    assert np.abs(found[1:] - right).max() <= 10 * error + 1e-14
    assert error < 1e-10


# ---- what is declined, and what cannot be used ---------------------------------------------------


def only_v_rex(name, theta, envs, *, penalty_weight=0.0):
    if name != "v_rex":
        raise NotImplementedError("only V-REx")
    return Own().value_and_grad(name, theta, envs, penalty_weight=penalty_weight)


def test_what_is_declined_is_left_out_and_what_is_required_is_not():
    report = check(value_and_grad=only_v_rex)
    assert not report.passed
    assert report.unasked == ["meta_irm_without_sigma", "meta_irm"]
    assert "Not passed: meta_irm_without_sigma and meta_irm left out" in report.text()
    problems = {row.problem for row in report.rows if row.left_out}
    assert problems == {"only V-REx", "keyword 'inner_lr' not offered"}
    assert check(value_and_grad=only_v_rex, require=["v_rex"]).passed


def test_the_gradient_may_be_a_vector_and_parts_of_it_none():
    def flat(*args, **hyper):
        value, gradient = Own().value_and_grad(*args, **hyper)
        parts = [gradient["W"], *gradient["head"]]
        return [value], np.concatenate([np.ravel(part) for part in parts])

    assert check(value_and_grad=flat).passed

    def without_constant(*args, **hyper):
        value, gradient = Own().value_and_grad(*args, **hyper)
        return value, gradient | {"head": [gradient["head"][0], None]}

    report = check(value_and_grad=without_constant)
    assert {row.worst for row in report.wrong} == {"head.1"}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda g: {"W": g["W"]}, "the gradient is a dict of 1; give a dict with W, head"),
        (lambda g: g | {"W": g["W"].T}, "W has shape (6, 5), not (5, 6)"),
        (lambda g: g | {"head": g["head"][:1]}, "the gradient.head is a list of 1; give 2 parts"),
        (lambda g: None, "the gradient is None"),
    ],
)
def test_an_answer_of_another_structure_is_one_sentence(change, text):
    def wrong(*args, **hyper):
        value, gradient = Own().value_and_grad(*args, **hyper)
        return value, change(gradient)

    assert all(row.problem.startswith(text) for row in check(value_and_grad=wrong).wrong)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"envs": ENVS[:1]}, ValueError, "there are 1 environments; give two or more"),
        ({"inner_lr": 0}, ValueError, "inner_lr is 0; give a finite number"),
        ({"theta": {}}, ValueError, "theta has no arrays"),
        ({"theta": {"W": np.array("a")}}, TypeError, "W of theta has dtype <U1"),
        ({"risk": 1.0}, TypeError, "risk is 1.0; give a function"),
        ({"require": ["meta_irn"]}, ValueError, "unknown question 'meta_irn'; did you mean"),
    ],
)
def test_wrong_arguments(options, error, text):
    with pytest.raises(error, match=text):
        check(**options)
