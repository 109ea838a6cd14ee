"""The committed results: whole, and what docs/results.md says they are."""

import re

import collect_results
import pytest
import small_sweeps

from metairm_np import _storage
from metairm_np.cli import main
from metairm_np.experiments.files import load_study, study_of

RESULTS = sorted(collect_results.RESULTS.glob("*/results.json"))
SEARCHES = sorted(collect_results.RESULTS.glob("*/search.json"))
BY_HAND = ("erm", "erm_grey")  # searched before, and chosen by hand, see docs/choices.md


def test_the_page_is_the_one_of_the_committed_results():
    assert collect_results.page() == collect_results.PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_the_settings_of_committed_results_are_those_of_the_experiment(path):
    found = _storage.read_json(path)
    made_with, now = study_of(found["config"]), load_study(found["config"]["name"])
    assert made_with.hash(0, "float32") == now.hash(0, "float32")
    assert all(record["audit"]["largest"] <= 1e-3 for record in found["trials"])
    for name in made_with.figures:
        assert (path.parent / f"{name}.png").is_file()
        assert (path.parent / f"{name}.svg").is_file()


@pytest.mark.parametrize("path", SEARCHES, ids=lambda path: path.parent.name)
def test_experiments_have_what_their_searches_selected(path):
    cases = load_study(path.parent.name.removeprefix("search-")).cases
    for row, found in _storage.read_json(path).items():
        *case, algorithm = row.split("-", 1)
        if algorithm in BY_HAND:
            continue
        algorithms = cases["".join(case)].algorithms  # Table 5 has them beside the full method's
        settings = algorithms.get(f"{algorithm}_searched", algorithms[algorithm]).settings
        (selected,) = [one["values"] for one in found if one["selected"]]
        now = {**vars(settings), **settings.hyper, "hidden": list(settings.hidden)}
        assert {key: now[key] for key in selected} == selected, row


def test_collecting_copies_what_is_kept_and_the_page_has_it(tmp_path):
    runs, results = tmp_path / "runs", tmp_path / "results"
    settings = [*small_sweeps.OPTIONS, "--set", "steps=3", "--out", str(runs)]
    assert main(["table5", *settings, "--algorithms", "meta_irm", "--trials", "2"]) == 0
    assert main(["cmnist", "--quick", *settings, "--algorithms", "erm"]) == 0
    collect_results.collect(runs, results)
    assert [path.name for path in results.iterdir()] == ["table5"]  # smoke runs are left out
    kept = ["accuracy.png", "accuracy.svg", "report.md", "results.json"]
    assert sorted(path.name for path in (results / "table5").iterdir()) == kept
    found = {"test_accuracy": {"0.9": [50.0, 52.0]}, "values": {"lr": 0.1}, "oracle": True}
    rows = {"meta_irm": [{**found, "selected": True}]}
    _storage.write_json(results / "search-table5" / "search.json", rows)
    _, section = re.sub(" +", " ", collect_results.page(results)).split("\n\n## ")
    assert section.startswith("Table 5: Ablations of meta-IRM\n\n| algorithm")
    for text in (
        "| 2 of 2 |",
        "| paper |",
        "(../experiments/results/table5/accuracy.png)",
        "| selected | 51.0 ± 1.0 | lr 0.1",
        "| oracle | 51.0 ± 1.0 | lr 0.1",
        "(notebook.md#table-5-ablations-of-meta-irm)",
    ):
        assert text in section, section
