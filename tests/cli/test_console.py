"""What a sweep says: its estimate learns, and its bar counts."""

import io
import sys

import pytest
from small_sweeps import tasks

from metairm_np.cli.console import Console
from metairm_np.sweeps import Estimate


def record(algorithm, seconds, trial=0, status="completed"):
    return {
        "name": f"{algorithm}-{trial:03d}",
        "algorithm": algorithm,
        "case": "",
        "setting": None,
        "trial": trial,
        "seconds": seconds,
        "seconds_of": {"gradients": seconds},
        "status": status,
        "watched_p_e": [0.9],
        "message": "completed 3 steps",
        "test_accuracy": {"0.9": 0.5},
    }


def test_the_estimate_learns_by_algorithm():
    estimate = Estimate({"erm": 3, "meta_irm": 3})
    assert estimate.remaining(1) is None
    estimate.take(record("erm", 2.0))
    assert estimate.remaining(1) == pytest.approx(
        2 * 2 + 3 * 2
    )  # meta-IRM is new: as long as the others
    estimate.take(record("meta_irm", 10.0))
    assert estimate.remaining(2) == pytest.approx((2 * 2 + 2 * 10) / 2)
    estimate.take(record("meta_irm", 20.0))
    estimate.drop("erm")
    assert estimate.remaining(1) == pytest.approx(1 * 2 + 1 * 15)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_bar_lines_and_conclusion(tmp_path, monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    todo = tasks(trials=3)
    console = Console(todo, tmp_path, jobs=2)
    console.bar.mininterval = 0
    console.reused(record("erm", 1.0))
    console.begun(todo[1])
    console.begun(todo[2])
    console.finished(record("v_rex", 3.0, status="diverged"))
    shown = terminal.getvalue()
    assert (
        "2 of 6 trials done, 1 running, 0 failed, 3 left, about 00:04 to go" in shown
    )  # (2 * 1 + 2 * 3 s) / 2
    console.lost(todo[2])
    console.begun(todo[2])
    console.failed(
        {
            "name": "erm-001",
            "algorithm": "erm",
            "case": "",
            "status": "failed",
            "message": "ValueError: no",
        }
    )
    assert "2 of 6 trials done, 0 running, 1 failed, 3 left" in terminal.getvalue()
    console.close()
    assert console.conclusion() == 1
    out = capsys.readouterr().out
    assert "reused: 1 finished trial\n" in out
    assert "v_rex, trial 0: completed 3 steps (3 s); test accuracy 50.0 at p_e=0.9" in out
    said = terminal.getvalue()
    assert "failed: erm-001: ValueError: no" in said
    assert f"failed: erm-001; see {tmp_path}/trials" in said
    assert f"diverged: v_rex-000; see {tmp_path}/trials" in said


def test_no_bars_where_there_is_no_terminal(tmp_path, capsys):
    console = Console(tasks(), tmp_path)
    console.begun(tasks()[0])
    console.finished(record("erm", 1.0))
    console.close()
    assert console.conclusion() == 0
    assert capsys.readouterr().err == ""
