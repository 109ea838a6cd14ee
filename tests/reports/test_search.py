"""Random search: what is drawn, what is selected, and on what."""

import copy
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_sweeps import SMALL

from metairm_np import _storage
from metairm_np._seeds import child
from metairm_np._storage import shipped
from metairm_np.experiments import files, search_space
from metairm_np.reports import search

RANGES = {
    "lr": {"low": 1e-4, "high": 1e-2, "log": True},
    "l2": {"low": 0.0, "high": 0.01},
    "steps": {"low": 5, "high": 15, "integer": True},
    "hidden": {"choices": [[4], [5, 5]]},
}
TOML = """
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


@given(st.integers(0, 2**40), st.integers(0, 10**6))
def test_draws_lie_in_their_ranges_and_can_be_typed(seed, number):
    drawn = search_space.draw(RANGES, seed, number)
    assert drawn == search_space.draw(RANGES, seed, number)
    assert 1e-4 <= drawn["lr"] <= 1e-2
    assert 0 <= drawn["l2"] <= 0.01
    assert drawn["steps"] in range(5, 16)
    assert drawn["hidden"] in ([4], [5, 5])
    assert len(f"{drawn['lr']:g}") <= 9


def test_draws_are_uniform_or_uniform_in_the_logarithm():
    drawn = [search_space.draw(RANGES, 0, number) for number in range(2000)]
    assert np.mean([values["lr"] < 1e-3 for values in drawn]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([values["l2"] < 0.005 for values in drawn]) == pytest.approx(0.5, abs=0.05)
    assert {values["steps"] for values in drawn} == set(range(5, 16))
    assert np.mean([values["hidden"] == [4] for values in drawn]) == pytest.approx(0.5, abs=0.05)
    assert (
        abs(
            np.corrcoef([values["lr"] for values in drawn], [values["l2"] for values in drawn])[
                0, 1
            ]
        )
        < 0.1
    )


def test_the_trials_and_draws_of_a_search_are_no_tables():
    spawned = {child(0, trial).spawn_key for trial in range(10_000)}
    assert child(0, search_space.FIRST_TRIAL).spawn_key not in spawned
    assert search_space.FIRST_TRIAL + 10**6 < search_space.SETTINGS


def with_table(**changes):
    experiment = files.load("cmnist", SMALL)
    table = {"criterion": "risk", "ranges": {"lr": RANGES["lr"]}, **changes}
    experiment.config["search"] = {
        "erm": {key: value for key, value in table.items() if value is not None}
    }
    return experiment


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


DRAWN = [{"lr": 10.0**-number} for number in range(6)]


def row_in(experiment):
    return search_space.Row("erm", experiment, "erm", DRAWN)


def order(experiment, records):
    return [row["setting"] for row in search.results(row_in(experiment), records)]


def test_the_criterion_orders_and_the_test_set_does_not():
    records = [record(0, [0.5, 0.7], 0.9), record(1, [0.4, 0.6], 0.1), record(2, [0.3, 0.9], 0.5)]
    assert order(with_table(), records) == [1, 0, 2]
    assert order(with_table(criterion="worst_risk"), records) == [1, 0, 2]
    assert order(with_table(criterion="risk_spread"), records) in ([0, 1, 2], [1, 0, 2])
    for shuffled in (0.0, 1.0):
        other = copy.deepcopy(records)
        other[0]["test_accuracy"]["0.9"] = shuffled
        assert order(with_table(), other) == [1, 0, 2]


def test_settings_whose_risks_differ_too_much_come_after_the_others():
    records = [
        record(0, [0.1, 0.3], 0.9),
        record(1, [0.5, 0.5], 0.5),
        record(2, [0.6, 0.61], 0.5),
        record(3, [0.1, 0.2], 0.9),
    ]
    assert order(with_table(), records) == [3, 0, 1, 2]
    assert order(with_table(max_risk_spread=0.01), records) == [1, 2, 3, 0]


def test_settings_that_did_not_meet_their_stopping_rule_come_after_the_others():
    experiment = files.load("cmnist", SMALL)
    experiment.config["search"] = {
        "meta_irm": {"criterion": "risk", "max_risk_spread": 0.1, "ranges": {"lr": RANGES["lr"]}}
    }
    row = search_space.Row("meta_irm", experiment, "meta_irm", DRAWN)
    records = [
        record(0, [0.3, 0.3], 0.9, kept=7),
        record(1, [0.6, 0.6], 0.5, "stopped early"),
        record(2, [0.5, 0.5], 0.5, "stopped early", kept=7),  # with patience
        record(3, [0.4, 0.4], 0.5),  # never armed
    ]
    found = search.results(row, records)
    assert [one["setting"] for one in found] == [3, 2, 1, 0]
    assert [one["within"] for one in found] == [True, True, True, False]
    assert "all met the stopping rule or kept their last step" in search.markdown(row, found)


def test_a_setting_is_judged_by_the_mean_of_its_trials_and_needs_all_of_them():
    records = [
        record(0, [0.1, 0.1], 0.5),
        record(0, [0.7, 0.7], 0.7, trial=1),
        record(1, [0.3, 0.3], 0.2),
    ]
    rows = search.results(row_in(with_table()), records)
    assert [row["setting"] for row in rows] == [1, 0]
    assert rows[1]["criterion"] == pytest.approx(0.4)
    assert rows[1]["trials"] == 2
    assert rows[1]["test_accuracy"] == {"0.9": [50.0, 70.0]}
    records[0]["status"] = "diverged"
    rows = search.results(row_in(with_table()), [*records, record(4, [9.0, 9.0], 0.1)])
    assert [(row["setting"], row["usable"]) for row in rows] == [(1, True), (4, True), (0, False)]


def test_selected_is_the_first_and_oracle_the_best_on_the_test_environments():
    records = [
        record(0, [0.5, 0.5], 0.7),
        record(1, [0.4, 0.4], 0.2),
        record(2, [0.1, 0.1], 0.99, "diverged"),
    ]
    experiment = with_table()
    rows = search.results(row_in(experiment), records)
    assert [(row["setting"], row["selected"], row["oracle"]) for row in rows] == [
        (1, 1, 0),
        (0, 0, 1),
        (2, 0, 0),
    ]
    text = search.markdown(row_in(experiment), rows, most=1)
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    assert [line[:2] for line in lines[2:]] == [["1", "selected"], ["0", "oracle"]]
    assert "took no part in the order" in text
    assert "unusable" in search.markdown(row_in(experiment), rows)
    assert search.selected_options(row_in(experiment), rows) == "--set erm.lr=0.1"
    assert search.selected_options(row_in(experiment), rows[2:]) == "erm: no setting is usable"


def test_every_criterion_is_of_validation_data_alone():
    one = record(0, [0.2, 0.6], 0.3)
    found = {name: measure(one) for name, measure in search_space.CRITERIA.items()}
    expected = {
        "risk": 0.4,
        "worst_risk": 0.6,
        "error": 0.4,
        "worst_error": 0.6,
        "risk_spread": 0.2,
    }
    assert found == pytest.approx(expected)
    del one["test_accuracy"]
    assert {name: measure(one) for name, measure in search_space.CRITERIA.items()} == found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"criterion": None}, "[search.erm] has no criterion; give one"),
        ({"ranges": None}, "[search.erm] has no ranges; give one"),
        ({"criterion": "rsik"}, "unknown criterion in [search.erm] 'rsik'; did you mean 'risk'"),
        ({"criteria": 1}, "[search.erm] has no key 'criteria'; did you mean 'criterion'"),
        (
            {"max_risk_spread": -1},
            "max_risk_spread in [search.erm] is -1; give a finite number >= 0",
        ),
        (
            {"ranges": {"lr": 3}},
            "lr in [search.erm.ranges] is 3; give { low = 0, high = 1 } or { choices = [1, 2] }",
        ),
        ({"ranges": {"lr": {"low": 1}}}, "lr in [search.erm.ranges] is {'low': 1}; give"),
        (
            {"ranges": {"lr": {"low": 2, "high": 1}}},
            "high of lr in [search.erm.ranges] is 1; give a finite number >= 2",
        ),
        (
            {"ranges": {"lr": {"low": 0, "high": 1, "log": True}}},
            "low of lr in [search.erm.ranges] is 0; give",
        ),
        (
            {"ranges": {"lr": {"low": 0, "high": 1, "log": 1}}},
            "log of lr in [search.erm.ranges] is 1; give True or False",
        ),
        (
            {"ranges": {"lr": {"choices": []}}},
            "choices of lr in [search.erm.ranges] is []; give a list of one or more values",
        ),
        (
            {"ranges": {"lr": {"low": 0, "high": 1, "lg": True}}},
            "lr in [search.erm.ranges] has no key 'lg'; did you mean",
        ),
    ],
)
def test_a_wrong_search_table_is_one_sentence(changes, message):
    experiment = with_table(**changes)
    with pytest.raises((ValueError, TypeError)) as error:
        search_space.check("erm", experiment.config["search"]["erm"], experiment.algorithms)
    assert message in str(error.value)


def test_shipped_searches_are_sound():
    for name in files.available():
        study = files.load_study(name)
        if any("search" in experiment.config for experiment in study.cases.values()):
            for row in search_space.rows(study, study.algorithms, False, 20, 0):
                for values in row.drawn:
                    changed = search_space.with_setting(
                        row.experiment.config, row.algorithm, values
                    )
                    assert list(files.resolve(changed).algorithms) == [row.algorithm], name


def run(cwd, *options):
    settings = [part for text in SMALL for part in ("--set", text)]
    command = [sys.executable, "-m", "metairm_np.run", "search", "here.toml", *settings, *options]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_the_command_searches_goes_on_and_reports(tmp_path):
    text = (shipped("experiments") / "table1_cmnist.toml").read_text()
    (tmp_path / "here.toml").write_text(text.partition("[search")[0] + TOML)
    first = run(tmp_path, "--budget", "3", "--algorithms", "erm")
    assert first.returncode == 0, first.stderr
    second = run(tmp_path, "--budget", "4", "--trials", "2", "--jobs", "2")
    assert second.returncode == 0, second.stderr
    assert "reused: 3 finished trials" in second.stdout
    folder = tmp_path / second.stdout.strip().splitlines()[-1]
    assert folder.name.startswith("search-cmnist-")
    assert len(list((folder / "trials").glob("*.json"))) == 2 * 4 * 2
    less = run(tmp_path, "--budget", "2", "--algorithms", "erm")
    assert (
        "reused: 2 finished trials" in less.stdout
    )  # and the files still have all that was asked for
    found = json.loads((folder / "search.json").read_text())
    assert found.keys() == {"erm", "meta_irm"}
    for name, rows in found.items():
        assert len(rows) == 4
        assert [row["selected"] for row in rows] == [True, False, False, False]
        assert sum(row["oracle"] for row in rows) == 1
        for row in rows:
            records = [
                json.loads(path.read_text())
                for path in folder.glob(f"trials/{name}-setting-{row['setting']:05d}-*.json")
            ]
            assert [len(records), row["trials"]] == [2, 2]
            assert row["criterion"] == pytest.approx(
                np.mean([search_space.CRITERIA[criterion(name)](r) for r in records])
            )
            for key, value in row["values"].items():
                for one in records:
                    place = one["settings"]
                    for part in key.split("."):
                        place = place[part]
                    assert place == value
    usable = [row for row in found["erm"] if row["usable"]]
    assert usable[0]["criterion"] == min(row["criterion"] for row in usable)
    assert "selected: --set erm.lr=" in second.stdout
    rows = [
        line.split("|")
        for line in (folder / "search.md").read_text().splitlines()
        if line.startswith("|")
    ]
    assert sum("oracle" in row[2] for row in rows) == sum("selected" in row[2] for row in rows) == 2
    again = subprocess.run(
        [sys.executable, "-m", "metairm_np.run", "status", folder],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split("|")[2].strip() for line in again.stdout.splitlines()[4:6]] == ["8", "8"]


def criterion(name):
    return {"erm": "risk", "meta_irm": "worst_error"}[name]


def test_every_case_of_a_study_is_searched(tmp_path):
    changes = '[cases]\none = { title = "One" }\ntwo = { title = "Two", environment = { n_classes = 5 } }\n'
    head = (shipped("experiments") / "table1_cmnist.toml").read_text().partition("[search")[0]
    (tmp_path / "here.toml").write_text(head + TOML + changes)
    process = run(tmp_path, "--budget", "2", "--algorithms", "erm")
    assert process.returncode == 0, process.stderr
    folder = next((tmp_path / "runs").glob("search-*"))
    found = _storage.read_json(folder / "search.json")
    assert sorted(found) == ["one-erm", "two-erm"]
    assert [one["values"] for one in sorted(found["one-erm"], key=lambda one: one["setting"])] == [
        one["values"] for one in sorted(found["two-erm"], key=lambda one: one["setting"])
    ]
    assert "## One" in process.stdout and "## Two" in process.stdout


def test_an_algorithm_without_ranges_is_one_sentence(tmp_path):
    (tmp_path / "here.toml").write_text(
        (shipped("experiments") / "table1_cmnist.toml").read_text().partition("[search")[0] + TOML
    )
    process = run(tmp_path, "--budget", "2", "--algorithms", "v_rex")
    assert process.returncode == 2
    assert (
        process.stderr
        == "error: cmnist has no [search.v_rex]; write its ranges into a copy of the TOML file\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["here.toml"]
