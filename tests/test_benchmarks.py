"""The published times are those that were measured."""

import json
from pathlib import Path

import compare_frameworks
import scaling
import sweep

ROOT = Path(__file__).resolve().parent.parent
RESULTS = json.loads((ROOT / "benchmarks" / "results.json").read_text())


def test_tables_are_made_of_the_measurements(tmp_path):
    compare_frameworks.write(RESULTS, tmp_path)
    published = (ROOT / "benchmarks" / "results.md").read_text()
    assert (tmp_path / "results.md").read_text() == published
    assert published.split("\n\n")[0] in (ROOT / "docs" / "benchmarks.md").read_text()


def test_all_backends_computed_the_same_gradient():
    for result in RESULTS["cases"]:
        # in float32 V-REx multiplies a rounded difference of two risks by 10,000
        limit = 1e-9 if result["case"]["dtype"] == "float64" else 1e-2
        assert max(result["difference"].values()) < limit, result["case"]


def test_documented_sweeps_are_the_measured_ones():
    published = (ROOT / "benchmarks" / "sweep.md").read_text()
    assert sweep.tables(json.loads((ROOT / "benchmarks" / "sweep.json").read_text())) == published
    _, tables = published.split("\n\n", 1)
    assert tables in (ROOT / "docs" / "scale.md").read_text()


def test_scaling_goes_on_where_it_was_stopped(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(scaling, "LINES", {"fast": ["fast"], "GEMM bound": ["products"]})
    monkeypatch.setattr(scaling, "NAMES", ["fast", "products"])
    command = ["--quick", "--out", str(tmp_path)]
    monkeypatch.setattr(
        scaling, "GIB", 6e-4
    )  # enough for three times 100 samples, not for twice 200
    scaling.main(command)
    found = json.loads((tmp_path / "scaling.json").read_text())
    assert [point["case"]["n"] for point in found["points"]] == [100, 200, 100, 100, 100]
    for point in found["points"]:
        assert set(point["seconds"]) == (
            set() if point["case"]["n"] == 200 else {"fast", "products"}
        )
    assert found["machine"]["cores"] >= 1
    assert "</svg>" in (tmp_path / "scaling.svg").read_text()

    found["points"].pop()
    (tmp_path / "scaling.json").write_text(json.dumps(found))
    capsys.readouterr()
    scaling.main(command)
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert len(json.loads((tmp_path / "scaling.json").read_text())["points"]) == 5
