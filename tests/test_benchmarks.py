"""The published times are those that were measured."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results.json"

if not RESULTS.is_file():
    pytest.skip("benchmarks/ is in the repository, not in the package", allow_module_level=True)


@pytest.fixture(scope="module")
def compare_frameworks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
        import compare_frameworks

        yield compare_frameworks


def test_tables_are_made_of_the_measurements(compare_frameworks, tmp_path):
    compare_frameworks.write(json.loads(RESULTS.read_text()), tmp_path)
    published = (ROOT / "benchmarks" / "results.md").read_text()
    assert (tmp_path / "results.md").read_text() == published
    summary = published.split("\n\n")[0]
    assert summary in (ROOT / "README.md").read_text()


def test_all_backends_computed_the_same_gradient():
    for result in json.loads(RESULTS.read_text())["cases"]:
        # in float32 V-REx multiplies a rounded difference of two risks by 10,000
        limit = 1e-9 if result["case"]["dtype"] == "float64" else 1e-2
        assert max(result["difference"].values()) < limit, result["case"]


def test_documented_sweeps_are_the_measured_ones():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
        import sweep

    published = (ROOT / "benchmarks" / "sweep.md").read_text()
    assert sweep.tables(json.loads((ROOT / "benchmarks" / "sweep.json").read_text())) == published
    document = (ROOT / "docs" / "scale.md").read_text()
    for part in published.strip().split("\n\n")[1:]:
        assert part in document
