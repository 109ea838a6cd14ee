"""The suite itself: what it accepts, what it rejects, and what it says."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from problems import noise_for
from wrong_backends import FEW, FEW_CASES, Wrapped, run

from metairm_np import Environment, fast, spec
from metairm_np.conformance import (
    Fast,
    Spec,
    check_backend,
    parametrize_with_checks,
    stages,
    vectors,
)
from metairm_np.conformance.golden_cases import GOLDEN
from metairm_np.conformance.mistakes import MISTAKES
from metairm_np.conformance.offer import as_backend
from metairm_np.conformance.pytest_checks import Check, RandomCheck
from metairm_np.conformance.suite import ask

LEAK = MISTAKES["first-order leak"].backends()[0]
RNG = np.random.default_rng(0)


@parametrize_with_checks([Fast()], examples=8)
def test_fast(backend, check):
    check(backend)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_spec_passes_and_is_not_accused(dtype):
    report = check_backend(Spec(), dtype, random=3, seed=1)
    assert report.passed
    assert report.diagnosis == []
    assert [name for name, ok, _ in report.stages if ok] == list(stages.STAGES)


def test_modules_objects_and_functions_are_backends_and_say_what_they_lack():
    lacking = ["logits", "sigma_and_weights", "train_steps"]
    assert check_backend(fast, cases=FEW).missing == lacking
    assert check_backend(Fast(), cases=FEW).missing == lacking[:2]
    assert check_backend(Spec(), cases=FEW).missing == []
    report = check_backend(spec.value_and_grad, cases=FEW)
    assert report.passed
    assert report.backend == "metairm_np.spec.value_and_grad"
    assert len(report.missing) == 7


def test_the_tolerance_grows_with_the_type_alone():
    single, double = (
        ask(Spec(), vectors.load()["l2"], "meta_irm", dtype) for dtype in ("float32", "float64")
    )
    assert single.allowed / double.allowed == 2.0**29


def test_first_order_is_told_stage_by_stage():
    report = check_backend(LEAK, cases=FEW)
    assert not report.passed
    assert [name for name, ok, _ in report.stages if not ok] == [
        "meta_irm_without_sigma",
        "meta_irm",
        "sgd",
        "adam",
    ]
    assert report.diagnosis == ["first-order leak"]
    finding = report.findings[0]
    assert "binary_1_layer/meta_irm" in finding.explains
    assert "create_graph" in finding.remedy
    assert report.text().count("/meta_irm") == 1  # the first wrong check alone


# ---- backends that misbehave ---------------------------------------------------------------------


def raises(right, name, *args, **hyper):
    if name == "v_rex":
        raise RuntimeError("no\n  such op")
    return right(name, *args, **hyper)


def flat(right, *args, **hyper):
    value, gradient = right(*args, **hyper)
    return value, [(dW.ravel(), db) for dW, db in gradient]


def short(right, *args, **hyper):
    return 1.0, right(*args, **hyper)[1][:1]


def text(right, *args, **hyper):
    return "1.0", right(*args, **hyper)[1]


def nan(right, *args, **hyper):
    value, gradient = right(*args, **hyper)
    return value * np.nan, gradient


def in_place(right, name, params, envs, **hyper):
    answer = right(name, params, envs, **hyper)
    params[0][0][0, 0] += 1
    return answer


def dropout(right, *args, **hyper):
    value, gradient = right(*args, **hyper)
    return value, [(dW * (RNG.random(dW.shape) < 0.9), db) for dW, db in gradient]


def resampled(right, name, params, envs, **hyper):
    value, gradient = right(name, params, envs, **hyper)
    if "gradient_noise" in hyper:
        steps = len(hyper["gradient_noise"][0])
        hyper["gradient_noise"] = noise_for(params, len(envs), steps, RNG.integers(10**6))
        gradient = right(name, params, envs, **hyper)[1]
    return value, gradient


def scaled(right, name, *args, **hyper):
    value, gradient = right(name, *args, **hyper)
    return value, [(dW * 1.01, db) for dW, db in gradient] if name == "meta_irm" else gradient


@pytest.mark.parametrize(
    ("change", "problem", "diagnosis"),
    [
        (raises, "raised RuntimeError: no such op", []),
        (flat, "W0 has shape (12,), not (3, 4)", []),
        (short, "missing or too many arrays: W1, b1", []),
        (text, "value has dtype <U3, not float64", []),
        (nan, "", []),
        (scaled, "", []),
        (in_place, "changed its input W0 in place", ["inputs changed in place"]),
        (dropout, "", ["not deterministic"]),
        (
            resampled,
            "answered otherwise when asked again",
            ["noise resampled in the backward pass"],
        ),
    ],
)
def test_misbehaviour_is_told(change, problem, diagnosis):
    report = check_backend(Wrapped(change), cases=FEW)
    assert not report.passed
    assert any(outcome.problem.startswith(problem) for outcome in report.wrong)
    assert report.diagnosis == diagnosis
    assert ("No known mistake explains it" in report.text()) == (not diagnosis)
    if change is raises:
        assert [name for name, ok, _ in report.stages if not ok] == ["v_rex"]
    if change is nan:
        assert all(largest == np.inf for _, ok, largest in report.stages if not ok)


def without_mm_rex(name, *args, **hyper):
    if name == "mm_rex":
        raise NotImplementedError("no MM-REx")
    return spec.value_and_grad(name, *args, **hyper)


def test_not_implemented_is_left_out():
    report = check_backend(without_mm_rex, cases=FEW)
    assert report.passed
    assert {o.stage for o in report.left_out} == {"mm_rex"}
    assert "mm_rex" not in [name for name, _, _ in report.stages]
    with pytest.raises(pytest.skip.Exception, match="no MM-REx"):
        Check(vectors.load()["l2"], "mm_rex", "float64")(as_backend(without_mm_rex))


def test_a_backend_that_answers_nothing_does_not_pass():
    def absent(*args, **hyper):
        raise NotImplementedError

    report = check_backend(absent, cases=FEW)
    assert not report.ran
    assert not report.passed


# ---- wrong use -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backend", "options", "error", "text"),
    [
        (fast, {"dtype": "float16"}, ValueError, "dtype is 'float16'; give float32 or float64"),
        (fast, {"random": -1}, ValueError, "random is -1"),
        (fast, {"seed": 0.5}, TypeError, "seed is 0.5"),
        (fast, {"cases": ["l3"]}, ValueError, "unknown case 'l3'; did you mean 'l2'"),
        (np, {}, TypeError, "is no backend; give the function value_and_grad"),
        (int, {}, TypeError, "0 is no backend; give the function value_and_grad"),
        (
            Environment,
            {},
            TypeError,
            r"metairm_np.environments.environment.Environment\(\) failed: TypeError: .*; it has to "
            "work without arguments",
        ),
        (fast, {"require": ["meta_irn"]}, ValueError, "unknown stage 'meta_irn'; did you mean"),
    ],
)
def test_wrong_arguments(backend, options, error, text):
    with pytest.raises(error, match=text):
        check_backend(backend, **options)


# ---- pytest --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_failing_check_shows_the_arrays_and_names_the_mistake():
    with pytest.raises(
        AssertionError,
        match=r"(?s)binary_1_layer/meta_irm.*W0 +differs.*Diagnosis: first-order leak",
    ):
        Check(vectors.load()["binary_1_layer"], "meta_irm", "float64")(LEAK)


@pytest.mark.slow
def test_random_checks_shrink_to_a_small_case():
    def wrong(right, name, *args, **hyper):
        value, gradient = right(name, *args, **hyper)
        return value + (name == "erm" and hyper.get("l2", 0.0) > 0), gradient

    smallest = "hidden=(), d=1, n=(1, 1), exact=False, inner_lr=0.0, std_weight=0.0, "
    with pytest.raises(AssertionError) as failure:
        RandomCheck("float64")(Wrapped(wrong))
    assert smallest in str(failure.value)


# ---- the command line ----------------------------------------------------------------------------


def test_check_of_a_correct_backend(capsys, tmp_path):
    file = tmp_path / "out" / "report.json"
    args = ("check", "metairm_np:fast", "--dtype", "float32", *FEW_CASES)
    status, out, err = run(capsys, *args, "--json", str(file))
    assert (status, err) == (0, "")
    assert "Passed: every answer is the spec's" in out
    report = json.loads(file.read_text())
    assert report["passed"] is True
    assert [row["name"] for row in report["stages"]] == [
        s for s in stages.STAGES if f"\n{s} " in out
    ]

    status, out, err = run(capsys, *args, "--json", str(file / "out.json"))  # not a folder
    assert status == 2
    assert "Passed" in out  # nothing that is computed is lost
    assert err.startswith("error: ")


def test_check_of_a_wrong_backend(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mine", SimpleNamespace(leak=LEAK))
    file = tmp_path / "report.json"
    status, out, _ = run(capsys, "check", "mine:leak", "--json", str(file), "--verbose", *FEW_CASES)
    assert status == 1
    assert "the first wrong stage is meta_irm_without_sigma" in out
    assert "Diagnosis: first-order leak" in out
    assert "remedy: keep the inner" in out
    assert all(f"{case}/meta_irm\n" in out for case in FEW)
    report = json.loads(file.read_text())
    assert report["diagnosis"][0]["name"] == "first-order leak"
    assert {"case", "stage", "differences", "allowed", "problem"} == set(report["wrong"][0])


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("metairm_np", "the backend is 'metairm_np'; name it as package.module:Backend"),
        ("no_such_module:Backend", "cannot import no_such_module: ModuleNotFoundError"),
        ("metairm_np:fest", "metairm_np has no fest; did you mean 'fast'"),
        ("metairm_np:Environment", "metairm_np:Environment() failed: TypeError"),
        ("metairm_np.mlp:np", "is no backend; give the function value_and_grad"),
    ],
)
def test_a_backend_that_cannot_be_had(capsys, where, text):
    status, out, err = run(capsys, "check", where)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert text in err
    assert err.count("\n") == 1


def test_a_backend_that_always_fails_could_not_run(capsys, tmp_path, monkeypatch):
    (tmp_path / "broken_backend.py").write_text(
        "def value_and_grad(*args, **hyper):\n    raise OSError('no GPU')\n"
    )
    (tmp_path / "two_backends.py").write_text("import broken_backend as Broken\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    status, out, _ = run(capsys, "check", "two_backends:Broken", *FEW_CASES)
    assert status == 2
    assert "Could not run: no question was answered." in out
    assert "no GPU" in out


@pytest.mark.parametrize(
    "args", [[], ["chek"], ["check"], ["check", "metairm_np:fast", "--dtype", "float16"]]
)
def test_wrong_arguments_on_the_command_line(capsys, args):
    status, _, err = run(capsys, *args)
    assert status == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_generating_twice_gives_the_same_bytes(capsys, tmp_path, monkeypatch):
    few = [case for case in GOLDEN["v2"] if case[0] in ("noise", "mnist_2_classes")]
    monkeypatch.setitem(GOLDEN, "v2", few)
    for folder in ("a", "b"):
        assert run(capsys, "generate", "--out", str(tmp_path / folder))[0] == 0
    for file in ("arrays.npz", "manifest.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
