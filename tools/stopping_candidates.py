"""Which stopping rule comes nearest to the best step, on trajectories that none has cut short.

    python -m metairm_np.run search dynamics_ramp --budget 1 --set early_stopping.threshold=0
    python tools/stopping_candidates.py runs/search-dynamics_ramp-HASH

The trials are a search's, which no table uses. The best step of a trial is the one with the best
worst test accuracy from WARMUP on; what a rule loses is that accuracy minus its own. (Test
accuracies between two logged steps are interpolated.) So the *form* of the rule and its threshold
are chosen with test accuracies in view, on these trials alone; what a rule sees when it is used are
risks without any test data.
"""

import argparse
from itertools import product
from pathlib import Path

import numpy as np

from metairm_np.reports import tables
from metairm_np.sweeps import Contents, Folder
from metairm_np.training import StoppingRule
from metairm_np.training.stopping import StoppingState, watched

WARMUP, ARM = 60, 0.015
# of the standard deviation: half the difference of two risks
THRESHOLDS = (0.0, 0.001, 0.002, 0.003, 0.004, 0.006)


def candidates():
    """Yield the rules that are compared."""
    forms = [{"smoothing": n} for n in (1, 5, 10, 20)] + [{"line": n} for n in (10, 20, 30, 50)]
    for form, samples, threshold in product(forms, ("validation", "all"), THRESHOLDS):
        yield StoppingRule(threshold, arm=ARM, warmup=WARMUP, samples=samples, **form)


def stop(rule, history, envs, validation):
    """Return the step that a rule keeps of a history that has all risks in every row."""
    state = StoppingState()
    for row in history:
        state = rule.update(state, row["step"], watched(rule, row, envs, validation), [])
        if rule.stops(state, row["step"]):
            break
    return history[-1]["step"] if state.best_step is None else state.best_step


def accuracies(history):
    """Return the test accuracies in per cent at every step, (steps, environments)."""
    logged = [row for row in history if "test_accuracy" in row]
    steps = [row["step"] for row in logged]
    values = 100 * np.array([row["test_accuracy"] for row in logged])
    every = [row["step"] for row in history]
    return np.stack([np.interp(every, steps, column) for column in values.T], axis=1)


def compare(histories, envs, validation):
    """Return for each rule the trials' (lost, steps from the best, accuracies), and the best."""
    found, best = {}, []
    for history in histories:
        seen = accuracies(history)
        worst = seen.min(axis=1)
        at = WARMUP + int(np.argmax(worst[WARMUP:]))
        best.append((0.0, 0, *seen[at]))
        for rule in candidates():
            kept = stop(rule, history, envs, validation)
            one = (worst[at] - worst[kept], kept - at, *seen[kept])
            found.setdefault(rule, []).append(one)
    return found, best


def name_of(rule):
    """Return what a rule is called in the table."""
    form = f"line through {rule.line}" if rule.line else f"smoothing {rule.smoothing}"
    return f"{form}, {rule.samples}, {rule.threshold:g}"


def table(found, best, table_p, most):
    """Return the best rules, so many at most, and the oracle, as Markdown."""
    order = sorted(found, key=lambda rule: np.mean([one[0] for one in found[rule]]))[:most]
    rows = []
    for name, some in [(name_of(rule), found[rule]) for rule in order] + [("oracle", best)]:
        lost, steps, *seen = np.array(some).T
        numbers = [tables.mean_and_spread(lost), f"{lost.max():.1f}", tables.mean_and_spread(steps)]
        rows.append([name, *numbers, *map(tables.mean_and_spread, seen)])
    columns = [f"p_e = {p_e:g}" for p_e in table_p]
    head = ["rule", "lost", "at most", "steps from the best", *columns]
    return tables.markdown(head, rows)


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a search's, of one case and one algorithm")
    parser.add_argument("--most", type=int, default=12, help="how many rules (default: 12)")
    args = parser.parse_args()
    folder, contents = Folder(args.folder, read_only=True), Contents.read(args.folder)
    (experiment,) = contents.study.cases.values()
    n, share = (experiment.config["environment"][key] for key in ("n_per_env", "validation"))
    held = round(n * share)
    histories = [folder.history(record["name"]) for record in folder.summaries(contents)]
    if not histories or "risk" not in histories[0][1]:
        parser.error(
            "its trials do not have all samples' risks in every row; give a search's with "
            "meta_irm.early_stopping.samples=all"
        )
    n_envs = len(experiment.environment["train_p"])
    found, best = compare(histories, [range(n - held)] * n_envs, [range(held)] * n_envs)
    shown = table(found, best, experiment.table_p, args.most)
    print(f"{len(histories)} trials\n\n{shown}")


if __name__ == "__main__":
    main()
