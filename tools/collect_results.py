"""Run folders to experiments/results, and these to docs/results.md.

    python tools/collect_results.py runs    # after `python -m metairm_np.run paper --trials 10`
    python tools/collect_results.py         # only write the page anew

Of each run folder, smoke runs left out, the results, the report and the figures are copied to
results/NAME, and those of a search to results/search-NAME.
"""

import argparse
import re
import shutil
from pathlib import Path

import numpy as np

from metairm_np import _storage
from metairm_np.cli.status import run_folders
from metairm_np.experiments.files import study_of
from metairm_np.reports import figures, tables

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "experiments" / "results"
PAGE = ROOT / "docs" / "results.md"
NOTEBOOK = ROOT / "docs" / "notebook.md"
KEPT = ("results.json", "report.md", "search.*", "*.png", "*.svg", "[sc]*_*.json")
INTRO = """\
# Results

<!-- written by tools/collect_results.py; do not edit -->

The tables and figures of the experiments, beside the paper's. What agrees, what does not and what
was tried is in [notebook.md](notebook.md); how settings were selected and training stopped, in
[choices.md](choices.md#how-settings-are-selected). Accuracies in per cent, mean ± population
standard deviation over the trials; "paper" is Bae, Choi and Lee (2021), 10 trials. "steps" are
those kept, "s a trial" seconds of one thread with another trial beside it, "audit" the largest
difference from autograd's gradient, relative to its largest entry. Each has its folder in
[experiments/results](../experiments/results): `report.md`, with every trial's reason to stop,
`results.json`, with every trial's figures, and the figures as PNG and SVG."""
SEARCH = """\
The settings that a search selected, and those that it would have selected by test accuracy
("oracle": no honest estimate; it shows what selection costs):"""


def collect(folder, results=RESULTS):
    """Copy what is kept of the run folders in `folder`; the latest of a name stays."""
    for path in sorted(run_folders(folder), key=lambda path: path.stat().st_mtime):
        config = _storage.read_json(path / "config.json")
        finished = [found for pattern in KEPT for found in sorted(path.glob(pattern))]
        if config["quick"] or not finished:
            continue
        prefix = "search-" if path.name.startswith("search-") else ""
        to = results / f"{prefix}{config['name']}"
        to.mkdir(parents=True, exist_ok=True)
        for file in finished:
            shutil.copy(file, to / file.name)


def tables_of(found):
    """Return the tables of an experiment's results.json, beside the paper's."""
    study, parts = study_of(found["config"]), []
    for case, experiment in study.cases.items():
        records = [record for record in found["trials"] if record["case"] == case]
        columns = map(str, experiment.columns)
        head = ["algorithm", "trials", "", *columns, "steps", "s a trial", "audit"]
        rows = []
        for name, group in tables.by_algorithm(records).items():
            rows += rows_of(experiment.algorithms[name], experiment.columns, group)
        parts += [f"**{experiment.case_title}**"] * bool(case) + [tables.markdown(head, rows)]
    hours = sum(record["seconds"] for record in found["trials"]) / 3600
    audit = tables.audit_line(found["trials"])
    count = f"{len(found['trials'])} trials, {hours:.1f} hours of computing"
    parts.append(f"`{found['command']}`: {count}; {audit}.")
    return "\n\n".join(parts)


def rows_of(algorithm, columns, group):
    """Return the rows of an algorithm: ours, and the paper's if it has one."""
    steps = [record["step"] for record in tables.usable(group)]
    span = " to ".join(map(str, sorted({min(steps), max(steps)}))) if steps else "-"
    seconds = np.mean([record["seconds"] for record in group])
    audit = max(record["audit"]["largest"] for record in group)
    ours = [tables.mean_and_spread(tables.accuracies(group, column)) for column in columns]
    trials = f"{len(steps)} of {len(group)}"
    yield [algorithm.label, trials, "ours", *ours, span, f"{seconds:.0f}", f"{audit:.0e}"]
    theirs = [tables.published(algorithm, column) for column in columns]
    if any(theirs):
        yield ["", "", "paper", *theirs, "", "", ""]


def search_table(found):
    """Return the table of a search.json: the selected settings beside the oracle's."""
    rows = []
    for row, settings in found.items():
        for kind in ("selected", "oracle"):
            for one in [one for one in settings if one[kind]][:1]:
                test = " / ".join(map(tables.mean_and_spread, one["test_accuracy"].values()))
                values = ", ".join(f"{key} {value}" for key, value in one["values"].items())
                name = row if kind == "selected" else ""
                rows.append([name, str(len(settings)), kind, test, values])
    return tables.markdown(["algorithm", "settings", "", "test accuracy", "setting"], rows)


def anchor(heading):
    """Return the anchor that a Markdown heading gets on its page."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def section(found, results):
    """Return an experiment's part of the page: tables, figures and its search."""
    study = study_of(found["config"])
    heading = f"{study.reproduces}: {study.title}" if study.artefacts else study.title
    parts = [f"## {heading}", tables_of(found)]
    for name in study.figures:
        image = f"../experiments/results/{study.name}/{name}.png"
        parts.append(f"![{figures.FIGURES[name]}]({image})")
    search = _storage.read_json(results / f"search-{study.name}" / "search.json")
    if search:
        parts += [SEARCH, search_table(search)]
    if f"## {heading}\n" in NOTEBOOK.read_text(encoding="utf-8"):
        parts.append(f"[What agrees, and what does not](notebook.md#{anchor(heading)})")
    return "\n\n".join(parts)


def page(results=RESULTS):
    """Return the page: the paper's tables, its figures, and what goes beyond it."""
    found = [_storage.read_json(path) for path in results.glob("*/results.json")]
    found.sort(key=place)
    return "\n\n".join([INTRO, *(section(one, results) for one in found)]) + "\n"


def place(found):
    """Return where an experiment comes on the page."""
    name = (found["config"]["artefacts"] or ["z"])[0]
    return name[0] != "t", name[0], int(re.sub(r"\D", "", name) or 0), found["config"]["name"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="?", help="a folder of run folders")
    runs = parser.parse_args().runs
    if runs:
        collect(runs)
    _storage.write(PAGE, page())
