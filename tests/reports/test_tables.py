"""Tables, figures and files from records whose numbers are known."""

import csv
import io
import json
import math

import numpy as np
import pytest

from metairm_np import _storage
from metairm_np.experiments import files
from metairm_np.reports import figures, tables

STUDY = files.load_study("cmnist", ["p_e=[0.9]"])  # the table's 0.1 and 0.2 come on top
EXPERIMENT = STUDY.cases[""]


def record(algorithm, trial, accuracy, status="completed"):
    test = {"0.1": accuracy, "0.2": accuracy / 2, "0.9": accuracy / 4}
    return {
        "name": f"{algorithm}-{trial:03d}",
        "algorithm": algorithm,
        "case": "",
        "setting": None,
        "trial": trial,
        "status": status,
        "message": "completed 3 steps",
        "step": 3,
        "seconds": 2.0,
        "test_accuracy": test,
        "audit": {"checks": 2, "repeated": 0, "largest": 1e-15 * (1 + trial), "limit": 1e-8},
    }


RECORDS = [
    record("erm", 0, 0.8),
    record("erm", 1, 0.6),
    record("erm", 2, 0.1, "diverged"),
    record("meta_irm", 0, 0.64),
]


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_table_has_mean_population_spread_and_the_papers_figures():
    head, rule, *rows = tables.table(EXPERIMENT, RECORDS).splitlines()
    assert cells(head) == [
        "algorithm",
        "trials",
        "p_e = 0.1",
        "paper",
        "p_e = 0.2",
        "paper",
        "p_e = 0.9",
        "paper",
    ]
    assert set(rule) == set("|-:")
    paper = ["88.6 ± 0.3", "79.7 ± 0.6", "16.4 ± 0.8"]
    ours = [
        "70.0 ± 10.0",
        "35.0 ± 5.0",
        "17.5 ± 2.5",
    ]  # the diverged trial is left out, and not counted
    assert cells(rows[0]) == ["ERM", "2", *(cell for pair in zip(ours, paper) for cell in pair)]
    assert cells(rows[1])[:3] == ["meta-IRM", "1", "64.0"]  # one trial has no spread
    assert cells(rows[-1]) == ["optimal invariant model", "", "", "75.0", "", "75.0", "", "75.0"]
    assert len({len(row) for row in [head, rule, *rows]}) == 1


def test_audit_line_counts_and_names_what_failed():
    assert (
        tables.audit_line(RECORDS) == "audited against autograd: 8 checks, largest difference 3e-15"
    )
    failed = record("v_rex", 4, 0.9, "failed audit")
    failed["audit"]["largest"] = None  # as JSON has what is not finite
    line = tables.audit_line([*RECORDS, failed])
    assert (
        line
        == "audited against autograd: 10 checks, largest difference nan; FAILED and left out: v_rex-004"
    )
    assert tables.usable([failed]) == []


def test_csv_has_every_trial_the_diverged_too():
    rows = list(csv.DictReader(io.StringIO(tables.results_csv(RECORDS))))
    assert len(rows) == 4 * 3
    assert [row["status"] for row in rows if row["trial"] == "2"] == ["diverged"] * 3
    assert ",".join(rows[0]) == "case,algorithm,trial,status,step,seconds,p_e,test_accuracy"
    assert ",".join(rows[0].values()) == ",erm,0,completed,3,2.0,0.1,0.8"


@pytest.mark.parametrize("figure", ["accuracy", "accuracy_over_cases"])
def test_figure_is_the_same_bytes_each_time_and_skips_what_has_no_number(figure):
    one, two = (
        figures.render(figures.make(figure, figures.Results(STUDY, RECORDS))[0]) for _ in range(2)
    )
    assert one == two
    assert one["png"].startswith(b"\x89PNG")
    assert b"<svg" in one["svg"]
    few = [record("erm", 0, 0.1, "diverged"), record("meta_irm", 0, 0.5)]
    only_diverged = figures.render(figures.make(figure, figures.Results(STUDY, few))[0])
    assert only_diverged["png"] != one["png"]


def test_json_has_null_for_what_is_not_finite(tmp_path):
    path = tmp_path / "deep" / "x.json"
    _storage.write_json(path, {"a": [1.5, math.nan, (math.inf,)], "b": None})
    assert json.loads(path.read_text()) == {"a": [1.5, None, [None]], "b": None}
    assert _storage.read_json(path) == {"a": [1.5, None, [None]], "b": None}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", None])
def test_damaged_or_missing_json_is_none(tmp_path, content):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    assert _storage.read_json(path) is None


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "x.txt"
    _storage.write(path, "old")

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="No space"):
        _storage.write(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_mean_of_none_and_of_one():
    assert tables.mean_and_spread(np.array([])) == "-"
    assert tables.mean_and_spread(np.array([12.34])) == "12.3"
