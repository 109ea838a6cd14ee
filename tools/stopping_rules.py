"""Where rules that see no test data would stop an experiment's meta-IRM, and where test data would.

Table 1 with a constant alpha, ten trials:

    python tools/stopping_rules.py constant experiments/results/constant

Each trial has the seed of the experiment's but is trained for all its steps. The experiment's own
rule sees every step, the others every second one. stopping_rules.json and stopping_rules.md go
into the last folder, anew after each trial. Of an experiment with cases it is the first one.
"""

import argparse
import functools
import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np

from metairm_np import _storage
from metairm_np._seeds import child
from metairm_np.experiments.files import load
from metairm_np.reports import tables
from metairm_np.training import RunOptions, train
from metairm_np.training.stopping import StoppingState, watched

EVERY = 2


def history(name, trial):
    """Train one trial for all its steps; return its rule, where that stops, and the history."""
    experiment, seed = load(name), child(0, trial)
    data, settings = experiment.data(seed, "float32"), experiment.algorithms["meta_irm"].settings
    rule = settings.early_stopping
    # a rule that sees every step and stops at none
    settings = replace(settings, early_stopping=replace(rule, threshold=0))
    test = [data.test(p_e) for p_e in experiment.table_p]
    run = RunOptions(log_every=EVERY, audit_every=100)
    rows = train(settings, data.train, data.validation, seed, test=test, run=run).history
    for row in rows:
        row["watched"] = watched(rule, row, data.train, data.validation)
    state = StoppingState()
    for row in rows:
        state = rule.update(state, row["step"], row["watched"], [])
        if rule.stops(state, row["step"]):
            break
    stop = rows[-1]["step"] if state.best_step is None else state.best_step
    return rule, stop, [row for row in rows if row["step"] % EVERY == 0]


def rules(rule, stop, rows):
    """Return the index of the row at which each rule stops."""
    steps = np.array([row["step"] for row in rows])
    late = steps >= rule.warmup

    def smoothed(key):
        mean, found = 0.0, []
        for t, row in enumerate(rows):
            mean = mean + (np.asarray(row[key]) - mean) / min(t + 1, max(rule.smoothing / EVERY, 1))
            found.append(mean)
        return np.array(found)

    def smallest(values):
        return int(np.argmin(np.where(late, values, np.inf)))

    worst = [min(row["test_accuracy"]) for row in rows]
    return {
        "the experiment's own rule": int(np.argmin(np.abs(steps - stop))),
        "smallest spread of the risks, all samples": smallest(smoothed("watched").std(axis=1)),
        "smallest spread of the validation risks": smallest(
            smoothed("validation_risk").std(axis=1)
        ),
        "smallest spread of the meta-losses": smallest(smoothed("sigma")),
        "oracle: best worst test accuracy": int(np.argmax(np.where(late, worst, 0))),
    }


def table(stops):
    """Return the steps and test accuracies of each rule as Markdown."""
    rows = []
    for name, at in stops.items():
        accuracies = 100 * np.array([row["test_accuracy"] for row in at])
        span = f"{min(row['step'] for row in at)} to {max(row['step'] for row in at)}"
        rows.append([name, span, *map(tables.mean_and_spread, accuracies.T)])
    return tables.markdown(["rule", "steps", "p_e = 0.1", "p_e = 0.2", "p_e = 0.9"], rows)


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", help="one that has meta-IRM with early stopping")
    parser.add_argument("to", type=Path, help="the folder that the results go into")
    parser.add_argument("--trials", type=int, default=10, help="default: 10")
    parser.add_argument("--jobs", type=int, default=1, help="default: 1")
    args = parser.parse_args()
    if "meta_irm" not in load(args.experiment).algorithms:
        parser.error(f"{args.experiment} has no meta_irm; give an experiment that has")
    stops = {}
    with multiprocessing.get_context("spawn").Pool(args.jobs) as pool:
        for found in pool.imap(functools.partial(history, args.experiment), range(args.trials)):
            for name, index in rules(*found).items():
                stops.setdefault(name, []).append(
                    {key: found[2][index][key] for key in ("step", "test_accuracy", "watched")}
                )
            _storage.write_json(args.to / "stopping_rules.json", stops, indent=1)
            _storage.write(args.to / "stopping_rules.md", table(stops) + "\n")
            done = len(stops["the experiment's own rule"])
            print(f"{done} of {args.trials} trials\n{table(stops)}", flush=True)


if __name__ == "__main__":
    main()
