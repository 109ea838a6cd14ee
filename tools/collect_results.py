"""Run folders to experiments/results and to the tables of docs/reproduction.md.

    python tools/collect_results.py runs      # after `python -m metairm_np.run paper --trials 10`
    and searches

Of each run folder, smoke runs left out, results.json, tables.md and the figures are copied to
results/NAME, and of each search search.json and search.md to results/search-NAME. What stands
between <!-- NAME --> and <!-- end --> in the page is then written anew from these files, and
between <!-- NAME/FILE.md --> and <!-- end --> that file.
"""

import argparse
import re
import shutil
from pathlib import Path

import numpy as np

from metairm_np import _storage
from metairm_np.cli.status import run_folders
from metairm_np.experiments.files import study_of
from metairm_np.reports import tables

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "experiments" / "results"
PAGE = ROOT / "docs" / "reproduction.md"
KEPT = (
    "results.json",
    "report.md",
    "search.json",
    "search.md",
    "*.png",
    "*.svg",
    "similarity*.json",
    "crossing*.json",
)


def collect(folder, results=RESULTS):
    """Copy what is kept of the run folders in `folder`."""
    for path in sorted(
        run_folders(folder), key=lambda path: path.stat().st_mtime
    ):  # the latest of a name is kept
        config = _storage.read_json(path / "config.json")
        finished = [found for pattern in KEPT for found in sorted(path.glob(pattern))]
        if config["quick"] or not finished:
            continue
        to = results / (
            f"search-{config['name']}" if path.name.startswith("search-") else config["name"]
        )
        to.mkdir(parents=True, exist_ok=True)
        for file in finished:
            shutil.copy(file, to / file.name)


def tables_of(found):
    """Return the tables of an experiment, of what its results.json holds, beside the paper's."""
    study, parts = study_of(found["config"]), []
    for case, experiment in study.cases.items():
        parts += [f"**{experiment.case_title}**"] * bool(case)
        head = [
            "algorithm",
            "trials",
            "",
            *map(str, experiment.columns),
            "steps",
            "s a trial",
            "audit",
        ]
        rows = []
        for name, group in tables.by_algorithm(
            [record for record in found["trials"] if record["case"] == case]
        ).items():
            algorithm, steps = (
                experiment.algorithms[name],
                [record["step"] for record in tables.usable(group)],
            )
            audit = max(record["audit"]["largest"] for record in group)
            seconds = np.mean([record["seconds"] for record in group])
            ours = [
                tables.mean_and_spread(tables.accuracies(group, column))
                for column in experiment.columns
            ]
            span = (
                f"{min(steps)} to {max(steps)}"
                if len(set(steps)) > 1
                else f"{steps[0]}"
                if steps
                else "-"
            )
            trials = f"{len(steps)} of {len(group)}"
            rows.append(
                [algorithm.label, trials, "ours", *ours, span, f"{seconds:.0f}", f"{audit:.0e}"]
            )
            theirs = [tables.published(algorithm, column) for column in experiment.columns]
            if any(theirs):
                rows.append(["", "", "paper", *theirs, "", "", ""])
        parts.append(tables.markdown(head, rows))
    hours = sum(record["seconds"] for record in found["trials"]) / 3600
    parts.append(
        f"{len(found['trials'])} trials, {hours:.1f} hours of computing; {tables.audit_line(found['trials'])}."
    )
    return "\n\n".join(parts)


def oracles(found):
    """Return the table of a search, of what its search.json holds: the selected setting beside the oracle's."""
    head = ["algorithm", "settings", "", "test accuracy", "setting"]
    rows = []
    for row, settings in found.items():
        chosen = next((one for one in settings if one["selected"]), None)
        for kind, one in (
            ("selected", chosen),
            ("oracle", next((one for one in settings if one["oracle"]), None)),
        ):
            if one:
                figures = " / ".join(
                    tables.mean_and_spread(values) for values in one["test_accuracy"].values()
                )
                values = ", ".join(f"{key} {value}" for key, value in one["values"].items())
                rows.append(
                    [row if kind == "selected" else "", str(len(settings)), kind, figures, values]
                )
    return tables.markdown(head, rows)


def fill(text, results=RESULTS):
    """Return the page with its tables written anew."""

    def part(path):
        if path.suffix == ".md":
            return path.read_text(encoding="utf-8").strip()
        found = _storage.read_json(path / "results.json")
        return tables_of(found) if found else oracles(_storage.read_json(path / "search.json"))

    def filled(match):
        return f"<!-- {match[1]} -->\n\n{part(results / match[1])}\n\n<!-- end -->"

    return re.sub(r"<!-- (?!end)([\w./-]+) -->.*?<!-- end -->", filled, text, flags=re.DOTALL)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "runs",
        nargs="?",
        help="a folder of run folders (default: only write the page's tables anew)",
    )
    arguments = parser.parse_args()
    if arguments.runs:
        collect(arguments.runs)
    _storage.write(PAGE, fill(PAGE.read_text(encoding="utf-8")))
