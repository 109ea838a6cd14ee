"""Random search: what is selected, on what, and what the command leaves."""

import copy
import json

import numpy as np
import pytest
from small_sweeps import OPTIONS, SMALL

from metairm_np import _storage
from metairm_np.cli import main
from metairm_np.experiments import files, search_space
from metairm_np.reports import search

# erm's steps are drawn
SMALLER = [text.replace("steps=30", "meta_irm.steps=30") for text in OPTIONS]
TOML = """
base = "cmnist"
name = "own"

[search.erm]
criterion = "risk"
[search.erm.ranges]
lr = { low = 1e-4, high = 1e-1, log = true }
steps = { low = 1, high = 20, integer = true }

[search.meta_irm]
criterion = "worst_error"
max_risk_spread = 0.05
[search.meta_irm.ranges]
inner_lr = { low = 0.5, high = 2.0 }
"early_stopping.patience" = { choices = [1, 2, 3] }
"""
DRAWN = [{"lr": 10.0**-number} for number in range(6)]


def row_of(algorithm="erm", **changes):
    """Return a row of a search by risk, with `changes` to its table."""
    experiment = files.load("cmnist", SMALL)
    experiment.config["search"] = {algorithm: {"criterion": "risk", **changes}}
    return search_space.Row(algorithm, experiment, algorithm, DRAWN)


def record(setting, risks, accuracy, status="completed", trial=0, kept=9):
    return {
        "algorithm": "erm",
        "case": "",
        "setting": setting,
        "trial": trial,
        "status": status,
        "validation_risk": risks,
        "step": kept,
        "last_step": 9,
        "validation_accuracy": [1 - risk for risk in risks],
        "test_accuracy": {"0.9": accuracy},
    }


def order(row, records):
    return [one["setting"] for one in search.results(row, records)]


def test_the_criterion_orders_and_the_test_set_does_not():
    records = [record(0, [0.5, 0.7], 0.9), record(1, [0.4, 0.6], 0.1), record(2, [0.3, 0.9], 0.5)]
    assert order(row_of(), records) == [1, 0, 2]
    assert order(row_of(criterion="worst_risk"), records) == [1, 0, 2]
    assert order(row_of(criterion="risk_spread"), records) in ([0, 1, 2], [1, 0, 2])
    for shuffled in (0.0, 1.0):
        other = copy.deepcopy(records)
        other[0]["test_accuracy"]["0.9"] = shuffled
        assert order(row_of(), other) == [1, 0, 2]


def test_settings_whose_risks_differ_too_much_come_after_the_others():
    risks = [[0.1, 0.3], [0.5, 0.5], [0.6, 0.61], [0.1, 0.2]]
    records = [record(setting, one, 0.5) for setting, one in enumerate(risks)]
    assert order(row_of(), records) == [3, 0, 1, 2]
    row = row_of(max_risk_spread=0.01)
    assert order(row, records) == [1, 2, 3, 0]
    assert "differ by at most 0.01 (risk_spread)" in search.markdown(
        row, search.results(row, records)
    )


def test_a_setting_whose_trials_differ_comes_after_the_others_wherever_they_stop():
    row = row_of("meta_irm", max_risk_spread=0.01)
    spreads = {0: (0.0, 0.0, 0.018), 1: (0.006, 0.006, 0.006), 2: (0.009, 0.009, 0.009)}
    records = [
        record(setting, [0.5 + setting / 10 - s, 0.5 + setting / 10 + s], 0.5, status, trial, kept)
        for setting, some in spreads.items()
        for trial, s in enumerate(some)
        for status, kept in [("completed", 7) if setting == 1 else ("stopped early", 9)]
    ]
    found = search.results(row, records)
    assert [(one["setting"], one["within"]) for one in found] == [(1, True), (2, True), (0, False)]
    assert found[2]["risk_spread"] == pytest.approx(0.006)
    assert found[2]["risk_spread_varies"] == pytest.approx(np.std(spreads[0]))
    text = search.markdown(row, found)
    assert "differ by at most 0.01 (risk_spread), mean plus standard deviation over trials" in text
    assert "0.0060 ± 0.0085" in text


def test_a_setting_is_judged_by_the_mean_of_its_trials_and_needs_all_of_them():
    records = [
        record(0, [0.1, 0.1], 0.5),
        record(0, [0.7, 0.7], 0.7, trial=1),
        record(1, [0.3, 0.3], 0.2),
        record(1, [0.3, 0.3], 0.2, trial=1),
    ]
    found = search.results(row_of(), records)
    assert [one["setting"] for one in found] == [1, 0]
    assert found[1]["criterion"] == pytest.approx(0.4)
    assert found[1]["trials"] == 2
    assert found[1]["test_accuracy"] == {"0.9": [50.0, 70.0]}
    records[0]["status"] = "diverged"
    found = search.results(row_of(), [*records, record(4, [0.1, 0.1], 0.1)])
    assert [(one["setting"], one["usable"]) for one in found] == [(1, True), (4, True), (0, False)]
    assert "±" not in search.markdown(row_of(), found[1:2]).splitlines()[-1]


def test_the_best_in_the_first_trial_are_those_that_go_on():
    row = row_of()._replace(drawn=DRAWN[:3])
    first = [record(setting, [r, r], 0.5) for setting, r in enumerate((0.3, 0.1, 0.2))]
    assert search.best(row, [*first, record(0, [0.0, 0.0], 0.5, trial=1)], 2, trial=0) == [1, 2]
    with pytest.raises(ValueError, match="1 of 3 settings of erm have no first trial yet; run"):
        search.best(row, first[:2], 2, trial=0)


def test_selected_is_the_first_and_oracle_the_best_on_the_test_environments():
    records = [
        record(0, [0.5, 0.5], 0.7),
        record(1, [0.4, 0.4], 0.2),
        record(2, [0.1, 0.1], 0.99, "diverged"),
    ]
    row = row_of()
    found = search.results(row, records)
    marks = [(one["setting"], one["selected"], one["oracle"]) for one in found]
    assert marks == [(1, True, False), (0, False, True), (2, False, False)]
    text = search.markdown(row, found, most=1)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.split("|")[1:3]] for line in lines[2:]]
    assert cells == [["1", "selected"], ["0", "oracle"]]
    assert "took no part in the order" in text
    assert "unusable" in search.markdown(row, found)
    assert search.selected_options(row, found) == "--set erm.lr=0.1"
    assert search.selected_options(row, found[2:]) == "erm: no setting is usable"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that runs a search of a file and returns what it prints."""
    monkeypatch.chdir(tmp_path)

    def run(text, *options):
        (tmp_path / "here.toml").write_text(text)
        assert main(["search", "here.toml", *SMALLER, *options]) == 0
        return capsys.readouterr().out

    return run


@pytest.mark.slow
def test_the_command_searches_goes_on_and_reports(run, tmp_path, capsys):
    run(TOML, "--budget", "3", "--trials", "1", "--algorithms", "erm")
    second = run(TOML, "--budget", "4", "--trials", "2", "--jobs", "2")
    assert "reused: 3 finished trials" in second
    folder = tmp_path / second.strip().splitlines()[-1]
    assert folder.name.startswith("search-own-")
    assert len(list((folder / "trials").glob("*.json"))) == 2 * 4 * 2
    less = run(TOML, "--budget", "2", "--trials", "1", "--algorithms", "erm")
    assert "reused: 2 finished trials" in less  # and the files still have all that was asked for
    found = json.loads((folder / "search.json").read_text())
    criteria = {"erm": "risk", "meta_irm": "worst_error"}
    assert found.keys() == criteria.keys()
    for name, settings in found.items():
        assert [one["selected"] for one in settings] == [True, False, False, False]
        assert sum(one["oracle"] for one in settings) == 1
        for one in settings:
            paths = folder.glob(f"trials/{name}-setting-{one['setting']:05d}-*.json")
            records = [json.loads(path.read_text()) for path in paths]
            assert [len(records), one["trials"]] == [2, 2]
            measure = search_space.CRITERIA[criteria[name]]
            assert one["criterion"] == pytest.approx(np.mean([measure(r) for r in records]))
            for key, value in one["values"].items():
                for record in records:
                    place = record["settings"]
                    for part in key.split("."):
                        place = place[part]
                    assert place == value
    usable = [one for one in found["erm"] if one["usable"]]
    assert usable[0]["criterion"] == min(one["criterion"] for one in usable)
    assert "selected: --set erm.lr=" in second
    lines = (folder / "search.md").read_text().splitlines()
    marks = [line.split("|")[2] for line in lines if line.startswith("|")]
    assert sum("oracle" in mark for mark in marks) == 2
    assert sum("selected" in mark for mark in marks) == 2
    assert main(["status", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[2].strip() for line in lines[4:6]] == ["8", "8"]


def test_the_command_goes_on_with_the_best_alone(run, tmp_path):
    search_for = ("--budget", "3", "--algorithms", "erm")
    run(TOML, *search_for, "--trials", "1")
    run(TOML, *search_for, "--trials", "2", "--best", "1")
    found = _storage.read_json(next((tmp_path / "runs").glob("search-*")) / "search.json")["erm"]
    assert [one["trials"] for one in found] == [2, 1, 1]


def test_every_case_of_a_study_is_searched(run, tmp_path):
    cases = 'one.title = "One"\ntwo = { title = "Two", environment = { n_classes = 5 } }\n'
    out = run(f"{TOML}[cases]\n{cases}", "--budget", "2", "--algorithms", "erm")
    assert "## One" in out and "## Two" in out
    found = _storage.read_json(next((tmp_path / "runs").glob("search-*")) / "search.json")
    assert sorted(found) == ["one-erm", "two-erm"]
    one, two = (
        [setting["values"] for setting in sorted(settings, key=lambda one: one["setting"])]
        for settings in found.values()
    )
    assert one == two


def test_an_algorithm_without_ranges_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.toml").write_text(TOML)
    assert main(["search", "here.toml", *OPTIONS, "--budget", "2", "--algorithms", "v_rex"]) == 2
    message = "own has no [search.v_rex]; write one into a copy of its file, with ranges as in "
    message += "experiments/search.toml"
    assert capsys.readouterr().err == f"error: {message}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["here.toml"]
