"""The committed results: whole, and what the reproduction page says they are."""

import collect_results
import pytest

from metairm_np import _storage
from metairm_np.cli import main
from metairm_np.experiments.files import load_study, study_of

RESULTS = sorted(collect_results.RESULTS.glob("*/results.json"))


def test_the_page_has_the_tables_of_the_committed_results():
    text = collect_results.PAGE.read_text(encoding="utf-8")
    assert collect_results.fill(text) == text


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_the_settings_of_committed_results_are_those_of_the_experiment(path):
    found = _storage.read_json(path)
    made_with, now = study_of(found["config"]), load_study(found["config"]["name"])
    assert made_with.hash(0, "float32") == now.hash(0, "float32")
    assert all(record["audit"]["largest"] <= 1e-3 for record in found["trials"])
    for name in made_with.figures:
        assert (path.parent / f"{name}.png").is_file()
        assert (path.parent / f"{name}.svg").is_file()


def test_collecting_copies_what_is_kept_and_fills_the_page(tmp_path):
    settings = [
        "--set",
        "n_per_env=300",
        "--set",
        "steps=3",
        "--trials",
        "2",
        "--out",
        str(tmp_path / "runs"),
    ]
    assert main(["table5", *settings]) == 0
    assert main(["cmnist", "--quick", *settings, "--algorithms", "erm"]) == 0
    collect_results.collect(tmp_path / "runs", tmp_path / "results")
    assert [path.name for path in (tmp_path / "results").iterdir()] == [
        "table5"
    ]  # smoke runs are left out
    assert sorted(path.name for path in (tmp_path / "results" / "table5").iterdir()) == [
        "accuracy.png",
        "accuracy.svg",
        "report.md",
        "results.json",
    ]
    text = collect_results.fill(
        "before\n<!-- table5 -->\nold\n<!-- end -->\nafter\n", tmp_path / "results"
    )
    assert text.startswith("before\n<!-- table5 -->\n\n| algorithm")
    assert text.endswith("<!-- end -->\nafter\n")
    assert "73.0 ± 0.8" in text
    assert "old" not in text
    assert collect_results.fill(text, tmp_path / "results") == text
    (tmp_path / "results" / "table5" / "more.md").write_text("| a | table |\n")
    text = collect_results.fill("<!-- table5/more.md -->\n<!-- end -->\n", tmp_path / "results")
    assert text == "<!-- table5/more.md -->\n\n| a | table |\n\n<!-- end -->\n"
