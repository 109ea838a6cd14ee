"""The suite itself: what it accepts, what it rejects, and what it says."""

import json
import sys

import numpy as np
import pytest
from bug_zoo.correct import Correct
from bug_zoo.meta_bugs import FirstOrderLeak, MeanOverPairs, SampleStandardDeviation

from metairm_np import fast, spec
from metairm_np.conformance import (
    Fast,
    Spec,
    __main__,
    check_backend,
    parametrize_with_checks,
    stages,
    vectors,
)
from metairm_np.conformance.asking import ask
from metairm_np.conformance.pytest_checks import Check, RandomCheck

FEW = ("binary_1_layer", "l2", "noise")


@parametrize_with_checks([Spec()], examples=0)
def test_spec(backend, check):
    check(backend)


@parametrize_with_checks([Fast()])
def test_fast(backend, check):
    check(backend)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_correct_backend_passes_random_cases_and_is_not_accused(dtype):
    report = check_backend(Correct(), dtype, random=3, seed=1)
    assert report.passed
    assert report.diagnosis == []
    assert all(ok for _, ok, _ in report.stages)


def test_modules_and_objects_are_backends_and_say_what_they_lack():
    assert check_backend(fast, cases=FEW).missing == ["logits", "train_steps"]
    assert check_backend(Fast(), cases=FEW).missing == ["logits"]
    assert check_backend(Spec(), cases=FEW).missing == []


def test_a_function_is_a_backend():
    report = check_backend(spec.value_and_grad, cases=FEW)
    assert report.passed
    assert report.backend == "metairm_np.spec.value_and_grad"
    assert len(report.missing) == 5


def test_the_tolerance_grows_with_the_type_alone():
    solved = vectors.load()["l2"]
    ratio = (
        ask(Spec(), solved, "meta_irm", "float32").allowed / ask(Spec(), solved, "meta_irm").allowed
    )
    assert ratio == 2.0**29


def test_first_order_is_told_stage_by_stage():
    report = check_backend(FirstOrderLeak(), cases=FEW)
    status = {name: ok for name, ok, _ in report.stages}
    assert not report.passed
    assert [name for name in status if not status[name]] == [
        "meta_irm_without_sigma",
        "meta_irm",
        "sgd",
        "adam",
    ]
    assert report.diagnosis == ["first-order leak"]
    finding = report.findings[0]
    assert "binary_1_layer/meta_irm" in finding.explains
    assert "create_graph" in finding.remedy


# ---- backends that misbehave ---------------------------------------------------------------------


class Wrapped(Spec):
    """The spec, whose value_and_grad is changed by a test."""

    def __init__(self, change):
        self.change = change

    def value_and_grad(self, *args, **hyper):
        return self.change(spec.value_and_grad, *args, **hyper)


def problems(change, **options):
    report = check_backend(Wrapped(change), cases=FEW, **options)
    assert not report.passed
    return report, {outcome.problem for outcome in report.wrong}


def test_an_exception_is_a_wrong_answer_with_its_text():
    def broken(right, name, *args, **hyper):
        if name == "v_rex":
            raise RuntimeError("no\n  such op")
        return right(name, *args, **hyper)

    report, told = problems(broken)
    assert told == {"raised RuntimeError: no such op"}
    assert [name for name, ok, _ in report.stages if not ok] == ["v_rex"]


def test_not_implemented_is_left_out():
    def partial(right, name, *args, **hyper):
        if name == "mm_rex":
            raise NotImplementedError("no MM-REx")
        return right(name, *args, **hyper)

    report = check_backend(Wrapped(partial), cases=FEW)
    assert report.passed
    assert {o.stage for o in report.left_out} == {"mm_rex"}
    assert "mm_rex" not in [name for name, _, _ in report.stages]


def test_a_backend_that_answers_nothing_does_not_pass():
    def absent(right, *args, **hyper):
        raise NotImplementedError

    class Absent:
        value_and_grad = staticmethod(lambda *args, **hyper: absent(None))

    report = check_backend(Absent(), cases=FEW)
    assert not report.ran
    assert not report.passed


def test_wrong_shapes_are_told():
    def flat(right, *args, **hyper):
        value, gradient = right(*args, **hyper)
        return value, [(dW.ravel(), db) for dW, db in gradient]

    _, told = problems(flat)
    assert any("has shape (12,), not (3, 4)" in text for text in told)


def test_a_missing_layer_is_told():
    _, told = problems(lambda right, *args, **hyper: (1.0, right(*args, **hyper)[1][:1]))
    assert any("W1" in text and "missing" in text for text in told)


def test_nan_is_wrong():
    def nan(right, *args, **hyper):
        value, gradient = right(*args, **hyper)
        return value * np.nan, gradient

    report, _ = problems(nan)
    assert all(largest == np.inf for _, ok, largest in report.stages if not ok)


def test_changed_inputs_are_told():
    def in_place(right, name, params, envs, **hyper):
        answer = right(name, params, envs, **hyper)
        params[0][0][0, 0] += 1
        return answer

    report, told = problems(in_place)
    assert told == {"changed its input W0 in place"}
    assert report.diagnosis == ["inputs changed in place"]


def test_randomness_is_told():
    rng = np.random.default_rng(0)

    def dropout(right, *args, **hyper):
        value, gradient = right(*args, **hyper)
        return value, [(dW * (rng.random(dW.shape) < 0.9), db) for dW, db in gradient]

    assert problems(dropout)[0].diagnosis == ["not deterministic"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_single_precision_is_told_in_float64_and_fine_in_float32(dtype):
    def single(right, name, params, envs, **hyper):
        rounded = [(W.astype(np.float32), b.astype(np.float32)) for W, b in params]
        return right(name, rounded, [env.astype(np.float32) for env in envs], **hyper)

    report = check_backend(Wrapped(single), dtype, cases=FEW)
    assert report.passed == (dtype == "float32")
    assert report.diagnosis == (["computes in float32"] if dtype == "float64" else [])


def test_an_unknown_mistake_is_not_given_a_name():
    def odd(right, name, *args, **hyper):
        value, gradient = right(name, *args, **hyper)
        return value, [(dW * 1.01, db) for dW, db in gradient] if name == "meta_irm" else gradient

    report, _ = problems(odd)
    assert report.diagnosis == []
    assert "No known mistake explains it" in __main__.report_text(report)


def test_two_mistakes_in_two_objectives_are_both_named():
    def two(right, name, params, envs, **hyper):
        value, gradient = right(name, params, envs, **hyper)
        if name == "meta_irm":
            gradient = right(name, params, envs, **{**hyper, "first_order": True})[1]
        if name == "irmv1":
            value, gradient = (part for part in right("erm", params, envs, l2=hyper.get("l2", 0.0)))
            value += hyper["penalty_weight"] * sum(spec.irmv1_penalty(params, env) for env in envs)
        return value, gradient

    assert sorted(problems(two)[0].diagnosis) == [
        "IRMv1 penalty without gradient",
        "first-order leak",
    ]


def test_two_mistakes_in_one_objective_are_both_named():
    class MeanAndTorchStd(MeanOverPairs, SampleStandardDeviation):
        """Two habits at once: L.mean() + std_weight * L.std()."""

    report = check_backend(MeanAndTorchStd(), cases=("binary_2_layers", "three_inner_steps"))
    assert sorted(report.diagnosis) == ["mean over pairs", "sample standard deviation"]


# ---- wrong use -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"dtype": "float16"}, ValueError, "dtype is 'float16'; give float32 or float64"),
        ({"random": -1}, ValueError, "random is -1"),
        ({"seed": 0.5}, TypeError, "seed is 0.5"),
        ({"cases": ["l3"]}, ValueError, "unknown case 'l3'; did you mean 'l2'"),
    ],
)
def test_wrong_arguments(options, error, text):
    with pytest.raises(error, match=text):
        check_backend(fast, **options)


def test_what_is_no_backend_is_said_to_be_none():
    with pytest.raises(TypeError, match="is no backend; give the function value_and_grad"):
        check_backend(np)


# ---- pytest --------------------------------------------------------------------------------------


def test_a_failing_check_shows_the_arrays_and_names_the_mistake():
    with pytest.raises(
        AssertionError,
        match=r"(?s)binary_1_layer/meta_irm.*W0 +differs.*Diagnosis: first-order leak",
    ):
        Check(vectors.load()["binary_1_layer"], "meta_irm", "float64")(FirstOrderLeak())


def test_random_checks_shrink_to_a_small_case():
    def wrong(right, name, *args, **hyper):
        value, gradient = right(name, *args, **hyper)
        return value + (name == "erm" and hyper.get("l2", 0.0) > 0), gradient

    with pytest.raises(AssertionError) as failure:
        RandomCheck("float64")(Wrapped(wrong))
    shown = str(failure.value)
    for smallest in (
        "l2=0.0625",
        "inner_steps=1",
        "hidden=()",
        "classes=2",
        "d=1",
        "n=(1, 1)",
        "noise=False",
        "std_weight=0.0",
    ):
        assert smallest in shown


def test_what_is_not_implemented_is_skipped():
    def absent(right, *args, **hyper):
        raise NotImplementedError("not yet")

    with pytest.raises(pytest.skip.Exception, match="not yet"):
        Check(vectors.load()["l2"], "erm", "float64")(Wrapped(absent))


# ---- the command line ----------------------------------------------------------------------------


def run(capsys, *args):
    try:
        status = __main__.main(list(args))
    except SystemExit as end:
        status = end.code
    return status, *capsys.readouterr()


FEW_CASES = ("--cases", ",".join(FEW))


def test_check_of_a_correct_backend(capsys, tmp_path):
    file = tmp_path / "out" / "report.json"
    status, out, err = run(
        capsys, "check", "metairm_np:fast", "--dtype", "float32", "--json", str(file), *FEW_CASES
    )
    assert (status, err) == (0, "")
    assert "Passed: every answer is the spec's" in out
    report = json.loads(file.read_text())
    assert report["passed"] is True
    assert [row["name"] for row in report["stages"]] == [
        s for s in stages.STAGES if f"\n{s} " in out
    ]


def test_check_of_a_wrong_backend(capsys, tmp_path):
    file = tmp_path / "report.json"
    status, out, _ = run(
        capsys, "check", "bug_zoo.meta_bugs:FirstOrderLeak", "--json", str(file), *FEW_CASES
    )
    assert status == 1
    for text in (
        "the first wrong stage is meta_irm_without_sigma",
        "Diagnosis: first-order leak",
        "remedy: keep the inner",
    ):
        assert text in out
    report = json.loads(file.read_text())
    assert report["diagnosis"][0]["name"] == "first-order leak"
    assert {"case", "stage", "differences", "allowed", "problem"} == set(report["wrong"][0])


def test_verbose_shows_every_wrong_check(capsys):
    _, out, _ = run(capsys, "check", "bug_zoo.meta_bugs:FirstOrderLeak", "--verbose", *FEW_CASES)
    assert all(f"{case}/meta_irm\n" in out for case in FEW)


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
    (tmp_path / "backends.py").write_text("import broken_backend as Broken\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    status, out, _ = run(capsys, "check", "backends:Broken", *FEW_CASES)
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


def test_a_report_that_cannot_be_written(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    status, out, err = run(
        capsys,
        "check",
        "metairm_np:fast",
        "--json",
        str(tmp_path / "file" / "out.json"),
        *FEW_CASES,
    )
    assert status == 2
    assert "Passed" in out  # nothing that is computed is lost
    assert "Traceback" not in err


def test_generate_writes_where_it_is_told(capsys, tmp_path):
    status, out, _ = run(capsys, "generate", "--out", str(tmp_path / "golden"))
    assert status == 0
    assert out.strip() == str(tmp_path / "golden")
    assert {path.name for path in (tmp_path / "golden").iterdir()} == {
        "arrays.npz",
        "manifest.json",
    }
