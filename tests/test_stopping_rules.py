"""Where rules would stop meta-IRM: the tool on made-up histories and on one that it makes."""

import numpy as np
import pytest
import stopping_rules

from metairm_np import _storage
from metairm_np.cli import main
from metairm_np.experiments.files import load

RULE = load("cmnist").algorithms["meta_irm"].settings.early_stopping

SMALL = """
name = "small"
title = "A trial of no time"
reproduces = "nothing"
base = "cmnist"
rows = ["meta_irm"]
figures = []
[environment]
n_per_env = 200
[algorithms.meta_irm]
hidden = [8]
steps = 36
[algorithms.meta_irm.early_stopping]
threshold = 0.01
arm = 0.01
warmup = 10
"""


def made_up(gaps, risks, worst):
    """Return a history with those differences and means of two risks and worst accuracies."""
    return [
        {
            "step": 2 * t,
            "watched": [risk - gap / 2, risk + gap / 2],
            "validation_risk": [risk - gap / 2, risk + gap / 2],
            "sigma": gap,
            "test_accuracy": [1.0, low],
        }
        for t, (gap, risk, low) in enumerate(zip(gaps, risks, worst))
    ]


def test_each_rule_names_the_step_that_it_says():
    n = 80
    t = np.arange(n)
    rows = made_up(gaps=0.01 + abs(t - 50) / 100, risks=0.4 + t / 100, worst=1 - abs(t - 60) / 100)
    found = stopping_rules.rules(RULE, 88, rows)
    steps = {name: rows[index]["step"] for name, index in found.items()}
    assert steps["the experiment's own rule"] == 88
    assert steps["oracle: best worst test accuracy"] == 120
    for name in ("risks, all samples", "validation risks", "meta-losses"):
        assert (
            100 <= steps[f"smallest spread of the {name}"] <= 104
        )  # smoothing lags by a row or two
    assert len(found) == 5


def test_no_rule_stops_before_the_warm_up():
    n = 40
    rows = made_up(
        gaps=np.linspace(0.01, 0.5, n), risks=np.linspace(0.9, 0.4, n), worst=np.linspace(1, 0.5, n)
    )
    found = stopping_rules.rules(RULE, RULE.warmup, rows)
    assert all(rows[index]["step"] >= RULE.warmup for index in found.values())


@pytest.mark.slow
def test_its_trials_are_those_of_the_experiment_but_go_on(tmp_path):
    small = tmp_path / "small.toml"
    small.write_text(SMALL)
    assert main([str(small), "--trials", "2", "--out", str(tmp_path / "runs")]) == 0
    record = _storage.read_json(next((tmp_path / "runs").glob("*/trials/meta_irm-001.json")))
    _, stop, rows = stopping_rules.history(str(small), 1)
    assert stop == record["step"] < 36
    assert [row["step"] for row in rows] == list(range(0, 37, 2))
    recorded = {row["step"]: row for row in record["history"]}
    for row in rows:
        if row["step"] in recorded:
            assert row["validation_risk"] == recorded[row["step"]]["validation_risk"]
