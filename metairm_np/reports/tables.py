"""Results to tables: Markdown for people, CSV for programs."""

import csv
import io
from collections import Counter

import numpy as np

from metairm_np.experiments.files import TRAIN, row_of
from metairm_np.training import Status


def by_algorithm(records):
    """Group trial records by algorithm, in the order in which they come."""
    groups = {}
    for record in records:
        groups.setdefault(record["algorithm"], []).append(record)
    return groups


def by_row(records):
    """Group trial records by row, in the order in which they come."""
    groups = {}
    for record in records:
        groups.setdefault(row_of(record["algorithm"], record["case"]), []).append(record)
    return groups


def usable(records):
    """Return the records of the trials that neither diverged nor failed their audit."""
    return [record for record in records if Status(record["status"]).usable]


def accuracies(records, column):
    """Return the accuracies in per cent, one per usable trial: on the test environment p_e = `column`, or for "train"."""
    if column == TRAIN:
        return np.array([100 * np.mean(record["train_accuracy"]) for record in usable(records)])
    return np.array([100 * record["test_accuracy"][key_of(column)] for record in usable(records)])


def key_of(column):
    """Return a column's key in records and published numbers."""
    return column if column == TRAIN else f"{column:g}"


def published(algorithm, column):
    """Format the paper's mean and spread, or give an empty string where the paper has none."""
    numbers = algorithm.paper.get(key_of(column))
    return "{:.1f} ± {:.1f}".format(*numbers) if numbers else ""


def mean_and_spread(values):
    """Format the mean and, for two or more values, their population standard deviation."""
    if len(values) == 0:
        return "-"
    return f"{np.mean(values):.1f}" + (f" ± {np.std(values):.1f}" if len(values) > 1 else "")


def table(experiment, records):
    """Return the experiment's table as Markdown."""
    return markdown(*table_rows(experiment, records))


def table_rows(experiment, records):
    """Return the head and the rows of the experiment's table: accuracies in per cent, ours and the published ones."""
    algorithms = {name: experiment.algorithms[name] for name in by_algorithm(records)}
    in_paper = {
        column
        for column in experiment.columns
        if any(published(one, column) for one in algorithms.values())
    }
    head = ["algorithm", "trials"]
    for column in experiment.columns:
        head += [column if column == TRAIN else f"p_e = {column:g}"] + ["paper"] * (
            column in in_paper
        )
    rows = []
    for name, group in by_algorithm(records).items():
        row = [algorithms[name].label, str(len(usable(group)))]
        for column in experiment.columns:
            row.append(mean_and_spread(accuracies(group, column)))
            row += [published(algorithms[name], column)] * (column in in_paper)
        rows.append(row)
    for label, value in experiment.bounds.items():
        values = value if isinstance(value, list) else [value] * len(experiment.columns)
        row = [label, ""]
        for column, one in zip(experiment.columns, values):
            row += ["", f"{one:.1f}"] if column in in_paper else [f"{one:.1f}"]
        rows.append(row)
    return head, rows


def markdown(head, rows):
    """Format a table as Markdown, its columns aligned so that it reads well as plain text too."""
    widths = [max(len(row[c]) for row in [head, *rows]) for c in range(len(head))]

    def line(cells):
        padded = [
            cell.rjust(w) if c else cell.ljust(w) for c, (cell, w) in enumerate(zip(cells, widths))
        ]
        return f"| {' | '.join(padded)} |"

    rule = (
        "|" + "|".join("-" * (w + 1) + ("-" if c == 0 else ":") for c, w in enumerate(widths)) + "|"
    )
    return "\n".join([line(head), rule, *map(line, rows)])


def caption(study, records, dtype):
    """Say in a paragraph what the tables' numbers are."""
    most = max(Counter(row_of(record["algorithm"], record["case"]) for record in records).values())
    smoke = (
        "SMOKE RUN (--quick): little data and few steps, not comparable with the paper. "
        if study.quick
        else ""
    )
    spread = (
        "mean ± population standard deviation over the trials"
        if most > 1
        else "one trial each, so no spread"
    )
    return (
        f"{smoke}{study.title}, {study.reproduces}: accuracy in per cent, {spread}, {dtype}; "
        '"paper" is Bae, Choi and Lee (2021), 10 trials.'
    )


def audit_line(records):
    """Say how the gradients that made the numbers were checked."""
    audits = [record["audit"] for record in records]
    checked = sum(audit["checks"] for audit in audits)
    largest = np.max(
        [np.nan if audit["largest"] is None else audit["largest"] for audit in audits]
    )  # NaN counts as largest
    line = f"audited against autograd: {checked} checks, largest difference {largest:.0e}"
    failed = [r["name"] for r in records if r["status"] == Status.FAILED_AUDIT]
    return line + (f"; FAILED and left out: {', '.join(failed)}" if failed else "")


def trial_name(row, trial, setting=None):
    """Name a trial, and in a search its setting."""
    return (
        f"{row}, trial {trial}" if setting is None else f"{row}, setting {setting}, trial {trial}"
    )


def trial_line(record):
    """Say in a line why a trial stopped and how long it took."""
    name = trial_name(
        row_of(record["algorithm"], record["case"]), record["trial"], record["setting"]
    )
    return f"{name}: {record['message']} ({record['seconds']:.0f} s)"


def results_csv(records):
    """Return the test accuracies (0 to 1) in long form: one row per case, algorithm, trial and p_e."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["case", "algorithm", "trial", "status", "step", "seconds", "p_e", "test_accuracy"]
    )
    for r in records:
        for p_e, accuracy in r["test_accuracy"].items():
            writer.writerow(
                [
                    r["case"],
                    r["algorithm"],
                    r["trial"],
                    r["status"],
                    r["step"],
                    r["seconds"],
                    p_e,
                    accuracy,
                ]
            )
    return text.getvalue()


def tables(study, records):
    """Return the table of each case that has records, under its heading."""
    parts = []
    for case, experiment in study.cases.items():
        group = [record for record in records if record["case"] == case]
        if group:
            parts += [f"### {experiment.case_title}"] * bool(case) + [table(experiment, group)]
    return "\n\n".join(parts)


def report(study, records, dtype, machine, command, images=()):
    """Return the run's report as Markdown; `images` are names of SVG files."""
    shown = "".join(f"![{image}]({image}.svg)\n\n" for image in images)
    facts = "\n".join(
        f"- {key}: {value if value else 'none set'}" for key, value in machine.items()
    )
    trials = "\n".join(f"- {trial_line(record)}" for record in records)
    return f"""# {study.title}

{caption(study, records, dtype)}

{tables(study, records)}

{audit_line(records)}

{shown}## Trials

{trials}

## Made with

- command: `{command}`
{facts}
"""
