"""Run folders to one self-contained HTML page: tables beside the paper's, figures, audits."""

from __future__ import annotations

import base64
import os
import re
from collections import Counter
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from metairm_np import _storage
from metairm_np.experiments import search_space
from metairm_np.reports import figures, search, tables
from metairm_np.reports._style import STYLE
from metairm_np.reports.panels import Results
from metairm_np.sweeps import Contents, Folder

ACCURACIES = "Accuracies in per cent, mean ± population standard deviation over the trials"
REPRODUCED = (
    "<h1>Meta-Learned Invariant Risk Minimization</h1><p>Reproduced with metairm_np. "
    f"{ACCURACIES}; “paper” is Bae, Choi and Lee (2021), 10 trials.</p>"
)
OWN = f"<h1>Invariant Risk Minimization</h1><p>Made with metairm_np. {ACCURACIES}.</p>"
FILES = ("report.md", "results.csv", "results.json", "search.md", "search.json")


class Page(NamedTuple):
    """A page, and what is on it.

    Parameters
    ----------
    html : str
        It needs no other file.
    shown : list of Path
        The run folders that are on it.
    left_out : dict of str
        By the other folders' paths, why they are not.
    """

    html: str
    shown: list
    left_out: dict


class Section(NamedTuple):
    """A run folder's part of the page: where it comes, what it is about, and its HTML."""

    place: tuple
    about: str
    in_paper: bool
    html: str


def page(paths: Iterable[Path], beside: str | Path = ".") -> Page:
    """Return the page of some run folders.

    Parameters
    ----------
    paths : iterable of Path
        Nothing in them is changed. One that cannot be shown is named on the page, with the reason.
    beside : path, default "."
        The folder that the page is for; its links to the folders' files start there.

    Returns
    -------
    Page
    """
    sections, left_out = {}, {}
    for path in map(Path, paths):
        try:
            sections[path] = _section(path, beside)
        except Exception as error:  # whatever it is, the other folders are shown
            known = isinstance(error, (OSError, ValueError))
            left_out[path] = str(error) if known else f"cannot be shown ({error!r})"
    ordered = sorted(sections.items(), key=lambda one: one[1].place)
    times = Counter(one.about for one in sections.values())
    links = [
        f'<a href="#{_anchor(path)}">{escape(one.about)}'
        f"{f' ({escape(path.name)})' * (times[one.about] > 1)}</a>"
        for path, one in ordered
    ]
    view = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    reproduced = any(one.in_paper for one in sections.values())
    title = "meta-IRM, reproduced" if reproduced else "metairm_np"
    head = f'<meta charset="utf-8">{view}<title>{title}</title><style>{STYLE}</style>'
    body = f"{REPRODUCED if reproduced else OWN}<nav>{''.join(links)}</nav>{_notice(left_out)}"
    body += "".join(one.html for _, one in ordered)
    html = f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'
    return Page(html, list(sections), left_out)


def _notice(left_out):
    """Return what says which folders are not shown, and why."""
    if not left_out:
        return ""
    items = "".join(
        f"<li><code>{escape(str(path))}</code>: {escape(why)}</li>"
        for path, why in left_out.items()
    )
    return f"<p><strong>Left out:</strong></p><ul>{items}</ul>"


def _anchor(path):
    return quote(path.name)


def _place(study):
    """Return where a study comes on the page: the paper's tables, then its figures, then others."""
    named = re.fullmatch(r"(table|figure)(\d+)", study.artefacts[0] if study.artefacts else "")
    return (("table", "figure").index(named[1]), int(named[2])) if named else (2, 0)


def _section(path, beside):
    folder, contents = Folder(path, read_only=True), Contents.read(path)
    folder.check()
    study, records = contents.study, folder.summaries(contents)
    results, is_search = Results(study, records, folder), path.name.startswith("search-")
    about = study.reproduces if study.artefacts else study.title
    title = f"{study.reproduces}: {study.title}" if study.reproduces else study.title
    caption, parts, trials = "", ["<p>No trial is finished yet.</p>"], ""
    if is_search and records:
        parts = _search(results, contents)
    elif records:
        caption = tables.caption(study, records, contents.dtype)
        parts, trials = _tables_and_figures(results, beside), _trials(records)
    html = [
        f'<h2 id="{_anchor(path)}">{"Search: " * is_search}{escape(title)}</h2>',
        f"<p>{escape(caption)}</p>" * bool(caption),
        f'<p class="files"><code>{escape(str(path))}</code> {_links(path, FILES, beside)}</p>',
        *parts,
        trials,
        _made_with(results, contents),
    ]
    place = (3, *_place(study)) if is_search else _place(study)
    about = f"{'Search: ' * is_search}{about}"
    return Section(place, about, tables.in_paper(study), f"<section>{''.join(html)}</section>")


def _tables_and_figures(results, beside):
    """Return the tables, the audit and the figures of a study."""
    study, records, folder = results
    parts = []
    for case, experiment in study.cases.items():
        group = [record for record in records if record["case"] == case]
        if group:
            caption = f"Accuracy in per cent: {experiment.case_title or study.title}"
            parts.append(_table(*tables.table_rows(experiment, group), caption))
    parts.append(f"<p>{escape(tables.audit_line(records))}</p>")
    for name in study.figures:
        data = base64.b64encode(figures.svg(name, results)).decode()
        text = escape(figures.FIGURES[name])
        kind = "photo" if name == "images" else "plot"  # these are not inverted in the dark
        image = f'<img class="{kind}" alt="{text}" src="data:image/svg+xml;base64,{data}">'
        link = _links(folder.path, [f"{name}.svg"], beside)
        parts.append(f"<figure>{_wide(image)}<figcaption>{text}. {link}</figcaption></figure>")
    return parts


def _search(results, contents):
    """Return the best settings of each row of a search."""
    study, records, folder = results
    groups, parts = tables.by_row(records), []
    for row in search_space.planned(study, folder.planned(), contents.seed):
        if row.name in groups:
            found = search.results(row, groups[row.name])
            title = f"<h3>{escape(row.experiment.case_title)}</h3>" * bool(row.experiment.case)
            table = _table(*search.table_rows(row, found, search.BEST), search.caption(row, found))
            options = escape(search.selected_options(row, found))
            parts += [title, table, f"<p>selected: <code>{options}</code></p>"]
    return parts


def _trials(records):
    lines = "".join(f"<li>{escape(tables.trial_line(record))}</li>" for record in records)
    return f'<details><summary>Trials</summary><ul class="trials">{lines}</ul></details>'


def _made_with(results, contents):
    records, seconds = results.records, sum(record["seconds"] for record in results.records)
    facts = {"trials": len(records), "hours of computing": f"{seconds / 3600:.2f}"}
    facts |= {key: getattr(contents, key) for key in ("seed", "dtype", "engine")}
    facts |= _storage.read_json(results.folder.path / "machine.json") or {}
    rows = "".join(
        f"<dt>{escape(key)}</dt><dd>{escape(str(value))}</dd>" for key, value in facts.items()
    )
    return f"<details><summary>Made with</summary><dl>{rows}</dl></details>"


def _links(path, names, beside):
    """Return links to those of a folder's files that are there, from where the page is."""
    found = [name for name in names if (path / name).is_file()]
    there = quote(Path(os.path.relpath(path, beside)).as_posix())
    return " ".join(f'<a href="{there}/{quote(name)}">{escape(name)}</a>' for name in found)


def _wide(content):
    """Return HTML that scrolls where it is wider than the screen, and says so on narrow ones."""
    hint = '<p class="hint">scrolls sideways →</p>'
    return f'{hint}<div class="wide" tabindex="0">{content}</div>'


def _table(head, rows, caption):
    kinds = [' class="paper"' if name == "paper" else "" for name in head]

    def line(cells, tag):
        parts = [f"<{tag}{kind}>{escape(cell)}</{tag}>" for cell, kind in zip(cells, kinds)]
        return f"<tr>{''.join(parts)}</tr>"

    body = "".join(line(row, "td") for row in rows)
    table = f"<table><thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table>"
    return f"<figure><figcaption>{escape(caption)}</figcaption>{_wide(table)}</figure>"
