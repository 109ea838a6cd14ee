"""Run folders to one self-contained HTML page: tables beside the paper's, figures, audits."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from html import escape
from pathlib import Path

from metairm_np import _storage
from metairm_np.reports import figures, tables
from metairm_np.reports.panels import Results
from metairm_np.sweeps import Contents, Folder

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { line-height: 1.2; }
h2 { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; }
nav a { display: inline-block; margin-right: 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; white-space: nowrap; }
th, td { border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: Canvas; }
td.paper, th.paper { opacity: .65; } thead th { background: var(--soft); }
figure { margin: 1.5rem 0; overflow-x: auto; }
img { width: 100%; min-width: 32rem; height: auto; background: white; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; font-size: .85rem; }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 40rem) { dl { display: block; } dd { margin-left: 1rem; } }
"""
ACCURACIES = "Accuracies in per cent, mean ± population standard deviation over the trials"
REPRODUCED = (
    "<h1>Meta-Learned Invariant Risk Minimization</h1><p>Reproduced with metairm_np. "
    f"{ACCURACIES}; “paper” is Bae, Choi and Lee (2021), 10 trials.</p>"
)
OWN = f"<h1>Invariant Risk Minimization</h1><p>Made with metairm_np. {ACCURACIES}.</p>"


def page(paths: Iterable[Path]) -> str:
    """Return the page of some run folders.

    Parameters
    ----------
    paths : iterable of Path
        Nothing in them is changed.

    Returns
    -------
    str
        HTML that needs no other file.

    Raises
    ------
    ValueError
        If a folder cannot be used.
    """
    sections, links = [], []
    found = [(Contents.read(path), Folder(path, read_only=True)) for path in paths]
    for contents, folder in sorted(found, key=lambda one: _place(one[0].study)):
        study = contents.study
        folder.check()
        records = folder.summaries(contents)
        if records:
            what = study.reproduces if study.artefacts else study.title
            links.append(f'<a href="#{escape(study.name)}">{escape(what)}</a>')
            sections.append(_section(Results(study, records, folder), contents))
    view = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    reproduced = any(tables.in_paper(contents.study) for contents, _ in found)
    title = "meta-IRM, reproduced" if reproduced else "metairm_np"
    head = f'<meta charset="utf-8">{view}<title>{title}</title><style>{STYLE}</style>'
    body = f"{REPRODUCED if reproduced else OWN}<nav>{''.join(links)}</nav>{''.join(sections)}"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _place(study):
    """Return where a study comes on the page: the paper's tables, then its figures, then others."""
    named = re.fullmatch(r"(table|figure)(\d+)", study.artefacts[0] if study.artefacts else "")
    return (("table", "figure").index(named[1]), int(named[2])) if named else (2, 0)


def _section(results, contents):
    study, records, folder = results
    title = escape(f"{study.reproduces}: {study.title}" if study.reproduces else study.title)
    parts = [f'<h2 id="{escape(study.name)}">{title}</h2>']
    parts.append(f"<p>{escape(tables.caption(study, records, contents.dtype))}</p>")
    for case, experiment in study.cases.items():
        group = [record for record in records if record["case"] == case]
        if group:
            parts.append(f"<h3>{escape(experiment.case_title)}</h3>" if case else "")
            parts.append(_table(*tables.table_rows(experiment, group)))
    parts.append(f"<p>{escape(tables.audit_line(records))}</p>")
    for name in study.figures:
        data = base64.b64encode(figures.svg(name, results)).decode()
        source = f"data:image/svg+xml;base64,{data}"
        text = escape(figures.FIGURES[name])
        parts.append(f'<figure><img alt="{text}" src="{source}"></figure>')
    seconds = sum(record["seconds"] for record in records)
    facts = {"trials": len(records), "hours of computing": f"{seconds / 3600:.2f}"}
    facts |= {key: getattr(contents, key) for key in ("seed", "dtype", "engine")}
    facts |= _storage.read_json(folder.path / "machine.json") or {}
    rows = "".join(
        f"<dt>{escape(key)}</dt><dd>{escape(str(value))}</dd>" for key, value in facts.items()
    )
    parts.append(f"<details><summary>Made with</summary><dl>{rows}</dl></details>")
    return f"<section>{''.join(parts)}</section>"


def _table(head, rows):
    kinds = [' class="paper"' if name == "paper" else "" for name in head]

    def line(cells, tag):
        parts = [f"<{tag}{kind}>{escape(cell)}</{tag}>" for cell, kind in zip(cells, kinds)]
        return f"<tr>{''.join(parts)}</tr>"

    body = "".join(line(row, "td") for row in rows)
    table = f"<thead>{line(head, 'th')}</thead><tbody>{body}</tbody>"
    return f'<div class="wide"><table>{table}</table></div>'
