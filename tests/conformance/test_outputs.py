"""Reports as JUnit XML and as annotations, and golden vectors as plain JSON."""

import json
import shutil
import subprocess
import sys
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from wrong_backends import FEW_CASES, run

from metairm_np import spec
from metairm_np.conformance import NotOffered, check_backend, outputs, vectors
from metairm_np.conformance.mistakes import MISTAKES
from metairm_np.conformance.offer import as_backend

LEAK = MISTAKES["first-order leak"].backends()[0]


def leak(name, params, envs, **hyper):
    if name == "v_rex":
        raise NotOffered("no V-REx")
    if name == "mm_rex":
        raise RuntimeError("bad \x1b[31m character, 100% <of> it")
    return LEAK.value_and_grad(name, params, envs, **hyper)


# ---- JUnit ---------------------------------------------------------------------------------------


def test_junit_has_a_test_for_each_check(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mine", SimpleNamespace(leak=leak))
    file = tmp_path / "out" / "report.xml"
    status, out, _ = run(capsys, "check", "mine:leak", *FEW_CASES, "--junit", str(file))
    assert status == 1
    suite = ElementTree.parse(file).getroot().find("testsuite")
    tests = suite.findall("testcase")
    report = check_backend(leak, cases=("binary_1_layer", "l2", "noise"))
    assert len(tests) == len(report.outcomes) + len(report.required) == int(suite.get("tests"))
    assert len({(t.get("classname"), t.get("name")) for t in tests}) == len(tests)
    failed = [test for test in tests if test.find("failure") is not None]
    assert int(suite.get("failures")) == len(failed) == len(report.wrong)
    skipped = [test for test in tests if test.find("skipped") is not None]
    assert int(suite.get("skipped")) == len(skipped) == len(report.left_out)
    assert {test.find("skipped").get("message") for test in skipped} == {"no V-REx"}
    failures = {t.get("classname").split(".")[-1]: t.find("failure") for t in failed}
    assert "(first-order leak)" in failures["meta_irm"].get("message")
    assert "remedy: keep the inner" in failures["meta_irm"].text
    assert "no known mistake explains it" in failures["mm_rex"].get("message")
    assert "100% <of> it" in failures["mm_rex"].text
    assert "\x1b" not in file.read_text(encoding="utf-8")
    assert (
        outputs.clean("a\ud800\x00b\n") == "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}b\n"
    )


def test_junit_fails_where_something_required_was_left_out():
    def declines(*args, **hyper):
        raise NotOffered("nothing")

    suite = ElementTree.fromstring(outputs.junit(check_backend(declines, cases=["l2"])))
    failed = [test for test in suite.iter("testcase") if test.find("failure") is not None]
    assert [test.get("name") for test in failed] == ["meta_irm_without_sigma", "meta_irm"]


# ---- GitHub --------------------------------------------------------------------------------------


def test_what_passes_has_no_annotation(capsys):
    status, out, _ = run(capsys, "check", "metairm_np:fast", "--cases", "l2", "--github")
    assert status == 0
    assert "::error" not in out
    assert out.endswith("up to rounding.\n")


def test_a_mistake_is_annotated_at_the_function(capsys, tmp_path, monkeypatch):
    (tmp_path / "own_leak.py").write_text(
        "from metairm_np.conformance.mistakes import MISTAKES\n\n\n"
        "def value_and_grad(*args, **hyper):\n"
        "    leak = MISTAKES['first-order leak'].backends()[0]\n"
        "    return leak.value_and_grad(*args, **hyper)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    status, out, _ = run(capsys, "check", "own_leak:value_and_grad", *FEW_CASES, "--github")
    assert status == 1
    (line,) = [line for line in out.splitlines() if line.startswith("::error")]
    assert line.startswith("::error file=own_leak.py,line=4,title=first-order leak::Diagnosis: ")
    assert "%0A  remedy: keep" in line


def test_a_difference_without_a_name_is_annotated():
    def off(*args, **hyper):
        value, gradient = spec.value_and_grad(*args, **hyper)
        return value + 1e-3, gradient

    report = check_backend(off, cases=["l2"])
    (line,) = outputs.annotations(report, as_backend(off))
    assert "No known mistake explains it" in line
    assert "%0Al2/risk" in line
    assert outputs.escaped("a:b,c%\n", ":,") == "a%3Ab%2Cc%25%0A"


# ---- JSON ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from metairm_np.conformance import __main__

    folder = tmp_path_factory.mktemp("golden")
    assert __main__.main(["generate", "--format", "json", "--out", str(folder)]) == 0
    return folder


def test_json_has_every_number_of_the_golden_vectors(folder):
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    known = vectors.load()
    assert manifest["cases"] == list(known)
    for name, solved in known.items():
        case = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for stage, parts in solved.answers.items():
            assert case[stage].keys() == parts.keys()
            for key, part in parts.items():
                assert np.array_equal(np.array(case[stage][key]), part), (name, stage, key)
            assert case["scales"][stage] == solved.scales[stage]
        for key, part in solved.case.arrays().items():
            assert np.array_equal(np.array(case["inputs"][key]), part)
        for e, env in enumerate(solved.case.envs):
            assert case["inputs"][f"y{e}"] == env.y.tolist()
        assert (
            case["meta"].items() <= {**solved.case.meta, "pairs": case["meta"].get("pairs")}.items()
        )


def test_json_says_what_the_tolerances_are(folder):
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["version"] == 2
    assert manifest["tolerances"]["meta_irm"]["units"] == 64


def test_json_needs_a_folder(capsys):
    status, _, err = run(capsys, "generate", "--format", "json")
    assert (status, err) == (2, "error: --format json needs a folder to write to; add --out DIR\n")


def test_another_language_reads_it(folder):
    """The risk of a linear model, computed by JavaScript from the JSON alone."""
    node = shutil.which("node") or pytest.skip("node is not installed")
    code = """
        const fs = require("fs");
        const c = JSON.parse(fs.readFileSync(process.argv[1]));
        const {W0, b0, x0, y0} = c.inputs;
        const losses = x0.map((x, s) => {
            const f = x.reduce((sum, v, k) => sum + v * W0[k][0], b0[0]);
            return Math.log1p(Math.exp(y0[s] ? -f : f));
        });
        const risk = losses.reduce((a, b) => a + b) / y0.length;
        const allowed = 16 * Number.EPSILON * c.scales.risk.env0;
        console.log(Math.abs(risk - c.risk.env0) <= allowed);
    """
    command = [node, "-e", code, str(folder / "binary_linear.json")]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "true\n"
