"""The comparison of stopping rules, on made-up trajectories and on a search's."""

import sys

import numpy as np
import pytest
import stopping_candidates
from small_sweeps import OPTIONS

from metairm_np.cli import main
from metairm_np.training import StoppingRule

ENVS, VALIDATION = [range(90)] * 2, [range(10)] * 2


def falling(zero, n=120, noise=0.0):
    """Return a history whose gap falls to 0 at step `zero`, where accuracies are best."""
    rng = np.random.default_rng(0)
    gaps = (zero - np.arange(n)) / 1000
    seen = gaps + noise * rng.normal(size=n)
    rows = []
    for t in range(n):
        pair = [0.5 - seen[t] / 2, 0.5 + seen[t] / 2]
        row = {"step": t, "risk": pair, "validation_risk": pair}
        if t % 10 == 0:
            row["test_accuracy"] = [0.7 + gaps[t], 0.7, 0.7 - gaps[t]]
        rows.append(row)
    return rows


def test_a_rule_stops_where_it_says_and_accuracies_are_interpolated():
    rule = StoppingRule(0.0051, arm=0.015, warmup=60, samples="all")
    assert stopping_candidates.stop(rule, falling(90), ENVS, VALIDATION) == 80
    np.testing.assert_allclose(stopping_candidates.accuracies(falling(90))[85], [70.5, 70, 69.5])


def test_what_a_rule_loses_is_the_worst_accuracy_beside_the_best_steps():
    found, best = stopping_candidates.compare([falling(90), falling(100)], ENVS, VALIDATION)
    assert [one[1] for one in best] == [0, 0]
    for rule, trials in found.items():
        if rule.line and not rule.threshold:  # a straight line has no noise to take out
            np.testing.assert_allclose([one[:2] for one in trials], 0, atol=1e-9)
        if rule.smoothing == 20 and rule.threshold == 0:
            assert all(one[1] > 5 for one in trials)  # an average lags
    lines = stopping_candidates.table(found, best, [0.1, 0.2, 0.9], 5).splitlines()
    assert len(lines) == 2 + 5 + 1
    assert "oracle" in lines[-1]
    lost = [float(line.split("|")[2].split()[0]) for line in lines[2:]]
    assert lost[:-1] == sorted(lost[:-1])


@pytest.mark.slow
def test_the_command_reads_a_search(tmp_path, monkeypatch, capsys):
    rule = ["--set", "meta_irm.early_stopping.threshold=0"]
    options = [*OPTIONS, "--set", "steps=90", "--set", "table=[0.1, 0.9]", "--out", str(tmp_path)]
    command = ["search", "dynamics_ramp", "--budget", "1", "--trials", "2", *options]
    assert main([*command, *rule]) == 0
    (folder,) = tmp_path.iterdir()
    monkeypatch.setattr(sys, "argv", ["stopping_candidates.py", str(folder)])
    capsys.readouterr()
    stopping_candidates.main()
    assert capsys.readouterr().out.startswith("2 trials\n\n| rule ")
