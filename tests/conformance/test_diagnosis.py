"""Which names a diagnosis gives, and which it does not."""

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from wrong_backends import FEW, Wrapped

from metairm_np import spec
from metairm_np.conformance import Spec, check_backend

# ---- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_single_precision_is_told_in_float64_and_fine_in_float32(dtype):
    def single(right, name, params, envs, **hyper):
        rounded = [(W.astype(np.float32), b.astype(np.float32)) for W, b in params]
        return right(name, rounded, [env.astype(np.float32) for env in envs], **hyper)

    report = check_backend(Wrapped(single), dtype, cases=FEW)
    assert report.passed == (dtype == "float32")
    assert report.diagnosis == (["computes in float32"] if dtype == "float64" else [])


@pytest.mark.parametrize("size", [1e-12, 1e-10])
def test_a_small_difference_is_not_called_single_precision(size):
    def off(right, *args, **hyper):
        value, gradient = right(*args, **hyper)
        return value * (1 + size), gradient

    report = check_backend(Wrapped(off), cases=FEW)
    assert report.wrong
    assert report.diagnosis == []


def test_an_answer_of_another_shape_fits_no_mistake():
    class Zeros(Spec):
        def meta_losses(self, params, envs, *args, **hyper):
            return np.zeros(len(envs))

    report = check_backend(Zeros(), cases=["five_environments"])
    assert not report.passed
    assert report.diagnosis == []


def test_a_wrong_answer_that_a_mistake_predicts_otherwise_speaks_against_it():
    def leak_or_nothing(right, name, *args, **hyper):
        value, gradient = right(name, *args, **hyper)
        if name == "meta_irm" and "gradient_noise" in hyper:
            gradient = right(name, *args, **{**hyper, "first_order": True})[1]
        elif name == "meta_irm":
            gradient = [(dW + 1.0, db) for dW, db in gradient]
        return value, gradient

    report = check_backend(Wrapped(leak_or_nothing), cases=("noise", *FEW[:2]))
    assert report.findings == []


def test_two_mistakes_in_two_objectives_are_both_named():
    def two(right, name, params, envs, **hyper):
        value, gradient = right(name, params, envs, **hyper)
        if name == "meta_irm":
            gradient = right(name, params, envs, **{**hyper, "first_order": True})[1]
        if name == "irmv1":
            gradient = right("erm", params, envs, l2=hyper.get("l2", 0.0))[1]
        return value, gradient

    assert sorted(check_backend(Wrapped(two), cases=FEW).diagnosis) == [
        "IRMv1 penalty without gradient",
        "first-order leak",
    ]


@pytest.mark.slow
def test_two_mistakes_in_one_objective_are_both_named():
    def mean_and_torch_std(right, name, params, envs, **hyper):
        def objective(theta, std_weight, **inner):
            L = spec.meta_losses(theta, envs, **inner)
            return anp.mean(L) + std_weight * anp.std(L, ddof=1)

        if name == "meta_irm":
            return autograd.value_and_grad(objective)(params, **hyper)
        return right(name, params, envs, **hyper)

    cases = ("binary_2_layers", "three_inner_steps")
    report = check_backend(Wrapped(mean_and_torch_std), cases=cases)
    assert sorted(report.diagnosis) == ["mean over pairs", "sample standard deviation"]
