"""Results to tables: Markdown for people, CSV for programs."""

import csv
import io
import re

import numpy as np

from metairm_np.experiments import tested
from metairm_np.experiments.files import row_of
from metairm_np.training import Status

READINGS = """\
## What the logits read

Each test image is painted in all colours. "digits" is the accuracy in per cent of the logits
averaged over the colours; the effect of the colour on its own class's logit is 0 for an invariant
model, and so is its spread: equal accuracies alone do not show that
(`metairm_np.analysis.decomposition`)."""
PAPER = '; "paper" is Bae, Choi and Lee (2021), 10 trials'
MARKUP = re.compile(  # what Markdown takes for markup: emphasis, code, HTML, links, entities
    r"[*`~]|(?<![^\W_])_|_(?![^\W_])"
    r"|<(?=[A-Za-z/!?])|(?<=\])[(\[]|&(?=#?\w+;)|\\(?=[!-/:-@[-`{-~])"
)
FACTS = ("case", "algorithm", "trial", "status", "step", "seconds")  # of a trial, in the CSV


def by_algorithm(records):
    """Group trial records by algorithm, in the order in which they come."""
    return _grouped(records, lambda record: record["algorithm"])


def by_row(records):
    """Group trial records by row, in the order in which they come."""
    return _grouped(records, lambda record: row_of(record["algorithm"], record["case"]))


def _grouped(records, key):
    groups = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return groups


def usable(records):
    """Return the records of the trials that neither diverged nor failed their audit."""
    return [record for record in records if Status(record["status"]).usable]


def accuracies(records, column):
    """Return the accuracies in per cent of the usable trials, in a test environment or "train"."""
    if column == tested.TRAIN:
        return np.array([100 * np.mean(record["train_accuracy"]) for record in usable(records)])
    name = tested.key(column)
    return np.array([100 * record["test_accuracy"][name] for record in usable(records)])


def published(algorithm, column):
    """Return the paper's mean and spread, or an empty string where the paper has none."""
    numbers = algorithm.paper.get(tested.key(column))
    return "{:.1f} ± {:.1f}".format(*numbers) if numbers else ""


def mean_and_spread(values, decimals=1):
    """Return the mean and, for two or more values, their population standard deviation."""
    if len(values) == 0:
        return "-"
    numbers = [np.mean(values), np.std(values)][: len(values)]
    return " ± ".join(f"{number:.{decimals}f}" for number in numbers)


def table(experiment, records):
    """Return the experiment's table as Markdown."""
    return markdown(*table_rows(experiment, records))


def table_rows(experiment, records):
    """Return the head and the rows of the experiment's table.

    It has accuracies in per cent, ours and the published ones.
    """
    columns, groups = experiment.columns, by_algorithm(records)
    algorithms = [experiment.algorithms[name] for name in groups]
    in_paper = [any(published(one, column) for one in algorithms) for column in columns]

    def row(cells, paper):
        """Return each column's cell, and the paper's beside it where the paper has one."""
        pairs = zip(cells, paper, in_paper)
        return [part for cell, beside, there in pairs for part in [cell, beside][: 1 + there]]

    names, rows = map(tested.heading, columns), []
    for algorithm, group in zip(algorithms, groups.values()):
        ours = [mean_and_spread(accuracies(group, column)) for column in columns]
        paper = [published(algorithm, column) for column in columns]
        rows.append([algorithm.label, str(len(usable(group))), *row(ours, paper)])
    for label, value in experiment.bounds.items():
        values = value if isinstance(value, list) else [value] * len(columns)
        texts = [f"{one:.1f}" for one in values]
        ours = ["" if there else text for text, there in zip(texts, in_paper)]
        rows.append([label, "", *row(ours, texts)])
    return ["algorithm", "trials", *row(names, ["paper"] * len(columns))], rows


def reading_rows(experiment, records):
    """Return the head and the rows of a table of what the logits read of painted images.

    There are no rows where no record says so.
    """
    rows = []
    for name, group in by_algorithm(records).items():
        found = [record["reading"] for record in usable(group) if "reading" in record]
        if found:
            digits, effect, spread = (
                np.array([one[key] for one in found]) for key in ("digits", "effect", "spread")
            )
            cells = [mean_and_spread(100 * digits)]
            cells += [mean_and_spread(values, 2) for values in (effect, spread)]
            rows.append([experiment.algorithms[name].label, *cells])
    return ["algorithm", "digits", "effect of the colour", "its spread over images"], rows


def plain(text):
    """Return text as Markdown that shows it as it is; what has no meaning there stays."""
    return MARKUP.sub(r"\\\g<0>", text)


def markdown(head, rows):
    """Return a table as Markdown, its columns aligned so that it reads well as plain text too."""
    head, *rows = [[plain(cell).replace("|", r"\|") for cell in cells] for cells in [head, *rows]]
    widths = [max(map(len, column)) for column in zip(head, *rows)]

    def line(cells):
        first, *others = zip(cells, widths)
        return f"| {' | '.join([first[0].ljust(first[1]), *(c.rjust(w) for c, w in others)])} |"

    rule = ["-" * (width + 1) + (":" if c else "-") for c, width in enumerate(widths)]
    return "\n".join([line(head), f"|{'|'.join(rule)}|", *map(line, rows)])


def caption(study, records, dtype):
    """Return a paragraph that says what the tables' numbers are."""
    smoke = "SMOKE RUN (--quick): little data and few steps, its numbers are no results. "
    what = f"{study.title}, {study.reproduces}" if study.reproduces else study.title
    spread = "one trial each, so no spread"
    if max(map(len, by_row(records).values())) > 1:
        spread = "mean ± population standard deviation over the trials"
    return (
        f"{smoke if study.quick else ''}{what}: accuracy in per cent, {spread}, {dtype}"
        f"{PAPER if in_paper(study) else ''}."
    )


def in_paper(study):
    """Return whether the paper has numbers of any algorithm of a study."""
    return any(one.paper for case in study.cases.values() for one in case.algorithms.values())


def audit_line(records):
    """Return a line that says how the gradients that made the numbers were checked."""
    audits = [record["audit"] for record in records]
    checked = sum(audit["checks"] for audit in audits)
    # NaN counts as the largest
    largest = np.max([np.nan if one["largest"] is None else one["largest"] for one in audits])
    line = f"audited against autograd: {checked} checks, largest difference {largest:.0e}"
    rounding = sum(audit.get("rounding", 0) for audit in audits)  # older records have none
    if rounding:
        most = max(audit.get("largest_rounding", 0) for audit in audits)
        line += f", and up to {most:.0e} in {rounding} that rounding explains"
    failed = [record["name"] for record in records if record["status"] == Status.FAILED_AUDIT]
    return line + (f"; FAILED and left out: {', '.join(failed)}" if failed else "")


def trial_name(row, trial, setting=None):
    """Return what users call a trial, in a search with its setting."""
    return f"{row}, {'' if setting is None else f'setting {setting}, '}trial {trial}"


def trial_line(record):
    """Return a line that says why a trial stopped and how long it took."""
    row = row_of(record["algorithm"], record["case"])
    name = trial_name(row, record["trial"], record["setting"])
    return f"{name}: {record['message']} ({record['seconds']:.0f} s)"


def results_csv(records, kind="p_e"):
    """Return the test accuracies (0 to 1) as CSV: per case, algorithm, trial and environment.

    `kind` is the heading of the environments' names.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*FACTS, kind, "test_accuracy"])
    for record in records:
        facts = [record[key] for key in FACTS]
        writer.writerows([*facts, *pair] for pair in record["test_accuracy"].items())
    return text.getvalue()


def tables(study, records):
    """Return the table of each case that has records, under its heading."""
    parts = []
    for case, experiment in study.cases.items():
        group = [record for record in records if record["case"] == case]
        if group:
            heading = [f"### {plain(experiment.case_title)}"] * bool(case)
            parts += [*heading, table(experiment, group)]
    return "\n\n".join(parts)


def readings(study, records):
    """Return a part of the report on what the logits read of painted images, or nothing."""
    parts = []
    for case, experiment in study.cases.items():
        head, rows = reading_rows(experiment, [one for one in records if one["case"] == case])
        if rows:
            heading = [f"### {plain(experiment.case_title)}"] * bool(case)
            parts += [*heading, markdown(head, rows)]
    return "\n\n".join([READINGS, *parts, ""]) if parts else ""


def files_of(study):
    """Return the files of one's own that a study's data are from, with their SHA-256."""
    tables = [one.environment.get("sha256") or {} for one in study.cases.values()]
    return {file: f"SHA-256 {digest}" for table in tables for file, digest in table.items()}


def report(study, records, dtype, machine, command, images=()):
    """Return the run's report as Markdown; `images` are names of SVG files."""
    shown = "".join(f"![{image}]({image}.svg)\n\n" for image in images)
    machine = {**machine, **files_of(study)}
    facts = "\n".join(f"- {key}: {value or 'none set'}" for key, value in machine.items())
    trials = "\n".join(f"- {plain(trial_line(record))}" for record in records)
    return f"""# {plain(study.title)}

{plain(caption(study, records, dtype))}

{tables(study, records)}

{audit_line(records)}

{readings(study, records)}{shown}## Trials

{trials}

## Made with

- command: `{command}`
{facts}
"""
