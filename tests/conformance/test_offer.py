"""What is taken as a backend, what may be left out, and that inputs are each question's own."""

import dataclasses
import functools
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from wrong_backends import FEW, FEW_CASES, Wrapped, run

from metairm_np import spec
from metairm_np.conformance import (
    NotOffered,
    Spec,
    check_backend,
    parametrize_with_checks,
    vectors,
)
from metairm_np.conformance.offer import OnlyValueAndGrad
from metairm_np.conformance.pytest_checks import Check, RequiredCheck

# ---- what is left out ----------------------------------------------------------------------------


def test_an_error_from_deeper_inside_is_not_left_out():
    numpy_says = {"__name__": "numpy.deep_inside"}
    exec("def raises():\n    raise NotImplementedError('no such kernel')", numpy_says)

    def deep(right, name, *args, **hyper):
        return numpy_says["raises"]() if name == "v_rex" else right(name, *args, **hyper)

    report = check_backend(Wrapped(deep), cases=FEW)
    assert not report.passed
    assert {o.problem for o in report.wrong} == {"raised NotImplementedError: no such kernel"}
    assert {o.stage for o in report.wrong} == {"v_rex"}


def test_not_offered_leaves_out_from_anywhere():
    elsewhere = {"__name__": "helpers", "NotOffered": NotOffered}
    exec("def raises():\n    raise NotOffered('no V-REx here')", elsewhere)

    def declines(right, name, *args, **hyper):
        return elsewhere["raises"]() if name == "v_rex" else right(name, *args, **hyper)

    report = check_backend(Wrapped(declines), cases=FEW)
    assert report.passed
    assert {(o.stage, o.problem) for o in report.left_out} == {("v_rex", "no V-REx here")}


def only_plain(name, params, envs, *, inner_lr=0.0, std_weight=0.0):
    if name != "meta_irm":
        raise NotOffered("only meta-IRM")
    return spec.value_and_grad(name, params, envs, inner_lr=inner_lr, std_weight=std_weight)


def test_a_missing_keyword_is_not_offered():
    report = check_backend(only_plain, cases=FEW)
    assert report.passed
    assert {o.problem for o in report.left_out} == {
        "only meta-IRM",
        *(
            f"keyword {name!r} not offered"
            for name in ("l2", "first_order", "gradient_noise", "penalty_weight", "lambda_min")
        ),
    }


def test_a_keyword_that_a_library_does_not_take_is_an_error():
    def wrong(name, params, envs, **hyper):
        return np.std([1.0, 2.0], unbiased=False)

    report = check_backend(wrong, cases=FEW)
    assert not report.ran
    assert not report.left_out
    assert all("unexpected keyword argument 'unbiased'" in o.problem for o in report.wrong)


def only_erm(name, params, envs, **hyper):
    if name != "erm":
        raise NotImplementedError
    return spec.value_and_grad(name, params, envs, **hyper)


def test_what_is_required_may_not_be_left_out(capsys, monkeypatch):
    report = check_backend(only_erm, cases=FEW)
    assert report.ran
    assert not report.wrong
    assert not report.passed
    assert report.unasked == ["meta_irm_without_sigma", "meta_irm"]
    assert "Not passed: meta_irm_without_sigma and meta_irm left out, though required" in (
        report.text()
    )
    assert check_backend(only_erm, cases=FEW, require=["erm"]).passed
    monkeypatch.setitem(sys.modules, "mine", SimpleNamespace(only_erm=only_erm))
    for arguments, expected in (((), 1), (("--require", "erm"), 0), (("--require", ""), 0)):
        assert run(capsys, "check", "mine:only_erm", *FEW_CASES, *arguments)[0] == expected
    RequiredCheck("erm", "float64")(OnlyValueAndGrad(only_erm))
    with pytest.raises(AssertionError, match="only_erm leaves out meta_irm, which is required"):
        RequiredCheck("meta_irm", "float64")(OnlyValueAndGrad(only_erm))


# ---- what a backend is given ---------------------------------------------------------------------


class Greedy(Spec):
    """A backend that takes its arguments apart."""

    def value_and_grad(self, name, params, envs, **hyper):
        answer = spec.value_and_grad(name, params, envs, **hyper)
        hyper.get("pairs", []).reverse()
        return answer

    def train_steps(self, name, params, envs, optimizer, steps, **hyper):
        path = super().train_steps(name, params, envs, optimizer, steps, **hyper)
        optimizer.pop("name")
        return path

    def hessian_vector_product(self, params, env, vector):
        product = spec.hessian_vector_product(params, env, vector)
        params.pop()
        return product

    def logits(self, params, x):
        answer = spec.logits(params, x)
        env_x = x.base if x.base is not None else x
        env_x.flags.writeable = True
        env_x[0, 0] += 1
        return answer


def test_a_backend_that_changes_its_arguments_spoils_them_for_itself_alone():
    few = ("unbalanced_pairs", "binary_linear")
    report = check_backend(Greedy(), cases=few)
    told = {(o.stage, o.problem) for o in report.wrong}
    assert ("meta_irm", "changed its input pairs in place") in told
    assert ("sgd", "changed its input optimizer 0 in place") in told
    assert ("adam", "changed its input optimizer 1 in place") in told
    assert ("logits", "changed its input x0 in place") in told
    problems = [o.problem for o in report.wrong if o.stage == "hessian_vector_product"]
    assert all(problem.startswith("changed its input W") for problem in problems)
    assert any("in place, then raised" in problem for problem in problems)
    assert report.diagnosis == ["inputs changed in place"]
    assert check_backend(Spec(), cases=few).passed
    assert check_backend(Greedy(), cases=few).as_dict()["wrong"] == report.as_dict()["wrong"]


# ---- what is taken as a backend ------------------------------------------------------------------


@dataclasses.dataclass
class Unhashable:
    """A backend without a hash."""

    scale: float = 1.0

    def value_and_grad(self, *args, **hyper):
        value, gradient = spec.value_and_grad(*args, **hyper)
        return self.scale * value, gradient


class Callable:
    """A backend that is called itself."""

    def __call__(self, *args, **hyper):
        return spec.value_and_grad(*args, **hyper)


TAKEN = {
    "dataclass": Unhashable(),
    "partial": functools.partial(spec.value_and_grad),
    "callable": Callable(),
    "class": Unhashable,
    "class of callables": Callable,
    "jitted": functools.lru_cache(None)(spec.value_and_grad).__wrapped__,
}


@pytest.mark.parametrize("backend", TAKEN.values(), ids=TAKEN)
def test_what_can_be_called_is_taken_alike(backend, capsys, monkeypatch):
    assert check_backend(backend, cases=["l2"]).passed
    decorate = parametrize_with_checks([backend], dtypes=["float64"], examples=0)
    known, check = decorate.args[1][0].values
    check(known)
    monkeypatch.setitem(sys.modules, "mine", SimpleNamespace(backend=backend))
    assert run(capsys, "check", "mine:backend", "--cases", "l2")[0] == 0


@pytest.mark.slow
def test_a_backend_without_a_hash_is_diagnosed():
    with pytest.raises(AssertionError, match="no known mistake explains it"):
        Check(vectors.load()["l2"], "erm", "float64")(Unhashable(1.5))
