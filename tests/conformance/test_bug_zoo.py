"""Mistakes as they arise in PyTorch are rejected by the suite and named."""

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

from bug_zoo.pytorch_bugs import ZOO  # noqa: E402

from metairm_np.conformance import check_backend  # noqa: E402

CASES = (
    "binary_2_layers",
    "classes_4_square",
    "three_inner_steps",
    "l2",
    "noise_2_inner_steps",
    "sigma_zero",
    "saturated",
)


@pytest.mark.slow
@pytest.mark.parametrize("bug", ZOO, ids=[bug.__name__ for bug in ZOO])
def test_a_bug_in_pytorch_is_named_and_no_other(bug):
    backend, cases = bug(), CASES
    if "optimizer" in vars(bug):
        cases = ["l2"]
    else:
        backend.train_steps = None  # trajectories take most of the time
    report = check_backend(backend, cases=cases)
    assert not report.passed
    assert report.diagnosis == [bug.bug]
