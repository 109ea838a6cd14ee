"""Every bug of the zoo is rejected by the suite, and named."""

import importlib.util

import pytest
from bug_zoo import ZOO, torch_zoo

from metairm_np.conformance import check_backend
from metairm_np.conformance.mistakes import MISTAKES

# enough to tell each mistake from the others, in a third of the time that all golden cases take
CASES = (
    "binary_linear",
    "binary_2_layers",
    "classes_4_square",
    "three_inner_steps",
    "unbalanced_pairs",
    "l2",
    "l2_2_inner_steps",
    "noise_2_inner_steps",
    "sigma_zero",
    "zero_logits",
    "zero_hidden_inputs",
    "saturated",
)
needs_torch = pytest.mark.skipif(
    not importlib.util.find_spec("torch"), reason="PyTorch is not installed: pip install torch"
)


def check(zoo, k, dtype="float64"):
    report = check_backend(zoo[k](), dtype, cases=CASES)
    assert not report.passed
    assert zoo[k].bug in report.diagnosis, report.diagnosis
    return report


@pytest.mark.parametrize("k", range(len(ZOO)), ids=[bug.__name__ for bug in ZOO])
def test_a_bug_is_named_and_no_other(k):
    assert check(ZOO, k).diagnosis == [ZOO[k].bug]


@needs_torch
def test_bugs_in_pytorch_are_named():
    for k in range(len(torch_zoo())):
        check(torch_zoo(), k)


def test_the_zoo_has_every_known_mistake():
    specials = {
        "noise resampled in the backward pass",
        "computes in float32",
    }  # found by other means than an equation
    kept = {bug.bug for bug in ZOO} | (
        {bug.bug for bug in torch_zoo()} if importlib.util.find_spec("torch") else set()
    )
    assert {bug.bug for bug in ZOO} <= set(MISTAKES) | specials
    assert set(MISTAKES) - kept <= {"softplus cut at a threshold"}  # PyTorch's own
    assert len({bug.bug for bug in ZOO}) >= 30
