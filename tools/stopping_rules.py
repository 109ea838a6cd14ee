"""Where rules that see no test data would stop meta-IRM with two mirrored spurious features (Table 4).

    python tools/stopping_rules.py runs/cmnist-HASH experiments/results/table4    # ten trials, Table 1's for two of the rules

The training environments (p_e, p_e2) = (0.1, 0.2) and (0.2, 0.1) mirror each other. Each trial is trained without a stop and
observed every second step; each rule then names a step. stopping_rules.json and stopping_rules.md go into the second folder.
"""

import argparse
import multiprocessing
from pathlib import Path

import numpy as np

from metairm_np import report, storage
from metairm_np.experiments import load
from metairm_np.folder import Folder
from metairm_np.seeds import child
from metairm_np.training import train, watched_risks

STEPS, EVERY = 200, 2
RULE = load("table4").algorithms["meta_irm"].settings.early_stopping  # that of all experiments


def history(trial):
    """Train one trial of Table 4's meta-IRM without a stop, and give what its rules see and its test accuracies."""
    experiment = load("table4", ["meta_irm.early_stopping=false", f"meta_irm.steps={STEPS}"])
    settings, data = experiment.algorithms["meta_irm"].settings, experiment.data(child(0, trial), "float32")
    test = [data.test(p_e) for p_e in experiment.table_p]
    rows = train(settings, data.train, data.validation, child(0, trial), test=test, log_every=EVERY, audit_every=100).history
    keys = ("step", "sigma", "validation_risk", "test_accuracy")
    return [
        {**{key: row[key] for key in keys}, "watched": watched_risks(RULE, row, data.train, data.validation)}
        for row in rows
        if row["step"] % EVERY == 0
    ]


def smoothed(values):
    """Average over about as many steps as the stopping rule does."""
    mean, found = 0.0, []
    for t, value in enumerate(values):
        mean = mean + (np.asarray(value) - mean) / min(t + 1, RULE.smoothing / EVERY)
        found.append(mean)
    return np.array(found)


def rules(rows, kept_step, kept_risk):
    """Give the index of the row at which each rule stops; `kept_...` are means of Table 1's trials at their stop."""
    steps = np.array([row["step"] for row in rows])
    late = steps >= RULE.warmup
    validation = smoothed([row["validation_risk"] for row in rows])
    watched = smoothed([row["watched"] for row in rows])
    risk = np.mean([row["validation_risk"] for row in rows], axis=1)  # it rises too fast to be averaged over steps

    def smallest(values):
        return int(np.argmin(np.where(late, values, np.inf)))

    def first(condition):
        return int(np.argmax(condition & late)) if (condition & late).any() else len(rows) - 1

    worst = np.array([min(row["test_accuracy"]) for row in rows])
    return {
        "smallest spread of the risks, all samples (the rule of all experiments)": smallest(watched.std(axis=1)),
        "smallest spread of the validation risks": smallest(validation.std(axis=1)),
        "smallest spread of the meta-losses": smallest(smoothed([row["sigma"] for row in rows])),
        f"step {kept_step:.0f}, Table 1's mean": int(np.argmin(np.abs(steps - kept_step))),
        f"validation risk {kept_risk:.3f}, Table 1's mean": first(risk >= kept_risk),
        "validation risk ln 2, that of a coin": first(risk >= np.log(2)),
        "steepest rise of the validation risk": smallest(-np.gradient(validation.mean(axis=1))),
        "oracle: best worst test accuracy": int(np.argmax(np.where(late, worst, 0))),
    }


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table1", type=Path, help="a run folder of cmnist with meta-IRM")
    parser.add_argument("to", type=Path, help="where stopping_rules.json and stopping_rules.md go")
    parser.add_argument("--trials", type=int, default=10, help="default: 10")
    parser.add_argument("--jobs", type=int, default=1, help="default: 1")
    args = parser.parse_args()
    kept = Folder(args.table1).summaries(["meta_irm"])
    if not kept:
        parser.error(f"{args.table1} has no finished trial of meta_irm; give a run folder of cmnist that has")
    kept_step, kept_risk = (float(np.mean([np.mean(record[key]) for record in kept])) for key in ("step", "validation_risk"))
    with multiprocessing.get_context("spawn").Pool(args.jobs) as pool:
        found = pool.map(history, range(args.trials), chunksize=1)
    stops = {}
    for rows in found:
        for name, index in rules(rows, kept_step, kept_risk).items():
            stops.setdefault(name, []).append(rows[index])
    table = []
    for name, at in stops.items():
        accuracies = 100 * np.array([row["test_accuracy"] for row in at])
        span = f"{min(row['step'] for row in at)} to {max(row['step'] for row in at)}"
        table.append([name, span, *map(report.mean_and_spread, accuracies.T)])
    text = report.markdown(["rule", "steps", "p_e = 0.1", "p_e = 0.2", "p_e = 0.9"], table)
    storage.write_json(args.to / "stopping_rules.json", stops, indent=1)
    storage.write(args.to / "stopping_rules.md", text + "\n")
    print(text)


if __name__ == "__main__":
    main()
