"""Small changes of `metairm_np.fast` are caught by the suite."""

import inspect

import pytest

from metairm_np import fast
from metairm_np.conformance import check_backend
from metairm_np.fast import network, objectives

CASES = ("binary_2_layers", "classes_5_1_layer", "noise_2_inner_steps", "saturated")

MUTANTS = [  # module, function, what is there, what is put there
    (network, "r_backward", "+=", "-="),
    (network, "loss_and_slope", "p[each, y] -= 1", "p[each, y] -= 1.0001"),
    (objectives, "step_back", "2 * inner.l2", "inner.l2"),
    (objectives, "meta_irm", "kappa * mean", "kappa * 0.0"),
    (objectives, "irmv1", "2 * penalty_weight", "penalty_weight"),
    (
        objectives,
        "trajectory",
        "inner.noisy(t, g)",
        "g",
    ),
    (objectives, "pulled_back_sums", "thetas[-1], others", "thetas[0], others"),
]


@pytest.mark.parametrize(
    ("module", "function", "old", "new"), MUTANTS, ids=[f"{m[1]}: {m[3]}" for m in MUTANTS]
)
def test_a_mutant_of_fast_is_caught(monkeypatch, module, function, old, new):
    source = inspect.getsource(getattr(module, function))
    assert old in source
    changed = {}
    exec(source.replace(old, new, 1), vars(module), changed)
    monkeypatch.setattr(module, function, changed[function])
    if function in objectives.OBJECTIVES:
        monkeypatch.setitem(objectives.OBJECTIVES, function, changed[function])
    assert not check_backend(fast, cases=CASES, diagnose=False).passed
    monkeypatch.undo()
    assert check_backend(fast, cases=CASES, diagnose=False).passed
