"""Results to tables: Markdown for people, CSV for programs."""

import csv
import io

import numpy as np


def by_algorithm(records):
    """Group trial records by algorithm, in the order in which they come."""
    groups = {}
    for record in records:
        groups.setdefault(record["algorithm"], []).append(record)
    return groups


def usable(records):
    """Give the records of the trials that neither diverged nor failed their audit."""
    return [record for record in records if record["status"] in ("completed", "stopped early")]


def accuracies(records, p_e):
    """Give the test accuracies at `p_e` in per cent, one per usable trial."""
    return np.array([100 * record["test_accuracy"][f"{p_e:g}"] for record in usable(records)])


def mean_and_spread(values):
    """Format the mean and, for two or more values, their population standard deviation."""
    if len(values) == 0:
        return "-"
    return f"{np.mean(values):.1f}" + (f" ± {np.std(values):.1f}" if len(values) > 1 else "")


def table(experiment, records):
    """Give the experiment's table as Markdown: test accuracies in per cent, ours and the paper's."""
    head = ["algorithm", "trials"]
    for p_e in experiment.table_p:
        head += [f"p_e = {p_e:g}", "paper"]
    rows = []
    for name, group in by_algorithm(records).items():
        algorithm = experiment.algorithms[name]
        row = [algorithm.label, str(len(usable(group)))]
        for column, p_e in enumerate(experiment.table_p):
            row += [mean_and_spread(accuracies(group, p_e)), _published(algorithm.paper, column)]
        rows.append(row)
    for label, value in experiment.bounds.items():
        rows.append([label, "", *["", f"{value:.1f}"] * len(experiment.table_p)])
    return markdown(head, rows)


def _published(paper, column):
    return "{:.1f} ± {:.1f}".format(*paper[column]) if column < len(paper) else ""


def markdown(head, rows):
    """Format a table as Markdown, its columns aligned so that it reads well as plain text too."""
    widths = [max(len(row[c]) for row in [head, *rows]) for c in range(len(head))]

    def line(cells):
        padded = [cell.rjust(w) if c else cell.ljust(w) for c, (cell, w) in enumerate(zip(cells, widths))]
        return f"| {' | '.join(padded)} |"

    rule = "|" + "|".join("-" * (w + 1) + ("-" if c == 0 else ":") for c, w in enumerate(widths)) + "|"
    return "\n".join([line(head), rule, *map(line, rows)])


def caption(experiment, records, dtype):
    """Say in a paragraph what the table's numbers are."""
    most = max(len(group) for group in by_algorithm(records).values())
    smoke = "SMOKE RUN (--quick): little data and few steps, not comparable with the paper. " if experiment.quick else ""
    spread = "mean ± population standard deviation over the trials" if most > 1 else "one trial each, so no spread"
    return (
        f"{smoke}{experiment.title}, {experiment.reproduces}: test accuracy in per cent, {spread}, {dtype}; "
        '"paper" is Bae, Choi and Lee (2021), 10 trials.'
    )


def audit_line(records):
    """Say how the gradients that made the numbers were checked."""
    audits = [record["audit"] for record in records]
    checked = sum(audit["checks"] for audit in audits)
    largest = np.max([np.nan if audit["largest"] is None else audit["largest"] for audit in audits])  # NaN counts as largest
    line = f"audited against autograd: {checked} checks, largest difference {largest:.0e}"
    failed = [f"{r['algorithm']} trial {r['trial']}" for r in records if r["status"] == "failed audit"]
    return line + (f"; FAILED and left out: {', '.join(failed)}" if failed else "")


def trial_name(algorithm, trial, setting=None):
    """Name a trial, and in a search its setting."""
    return f"{algorithm}, trial {trial}" if setting is None else f"{algorithm}, setting {setting}, trial {trial}"


def trial_line(record):
    """Say in a line why a trial stopped and how long it took."""
    name = trial_name(record["algorithm"], record["trial"], record.get("setting"))
    return f"{name}: {record['message']} ({record['seconds']:.0f} s)"


def results_csv(records):
    """Give the test accuracies (0 to 1) in long form: one row per algorithm, trial and p_e."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["algorithm", "trial", "status", "step", "seconds", "p_e", "test_accuracy"])
    for r in records:
        for p_e, accuracy in r["test_accuracy"].items():
            writer.writerow([r["algorithm"], r["trial"], r["status"], r["step"], r["seconds"], p_e, accuracy])
    return text.getvalue()


def report(experiment, records, dtype, machine, command):
    """Give the run's report as Markdown."""
    facts = "\n".join(f"- {key}: {value if value else 'none set'}" for key, value in machine.items())
    trials = "\n".join(f"- {trial_line(record)}" for record in records)
    return f"""# {experiment.title}

{caption(experiment, records, dtype)}

{table(experiment, records)}

{audit_line(records)}

![test accuracy over p_e](accuracy.svg)

## Trials

{trials}

## Made with

- command: `{command}`
{facts}
"""
