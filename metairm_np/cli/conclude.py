"""What a command leaves when its trials have ended: tables, figures and files."""

from metairm_np import _storage
from metairm_np.experiments import search_space, tested
from metairm_np.reports import figures, search, tables
from metairm_np.training.clock import Clock


def conclude_table(contents, folder, command):
    """Write the tables of all finished trials in `folder`, print them, and draw their figures.

    Return where this command's own time went, a `Clock`. Of two commands that end at once the
    second waits, and sees the trials of both.
    """
    study, clock = contents.study, Clock()
    with folder.alone("conclusion"), clock.on("figures"):
        records = folder.summaries(contents)
        if not records:
            return clock
        machine = _storage.read_json(folder.path / "machine.json") or {}
        kind = tested.kind([name for one in study.cases.values() for name in one.test_p])
        _storage.write(folder.path / "results.csv", tables.results_csv(records, kind))
        about = {"command": command, "machine": machine, "config": contents.config()}
        _storage.write_json(folder.path / "results.json", {**about, "trials": records})
        _storage.write(
            folder.path / "report.md",
            tables.report(study, records, contents.dtype, machine, command, study.figures),
        )
        parts = (
            tables.caption(study, records, contents.dtype),
            tables.tables(study, records),
            tables.audit_line(records),
        )
        print("\n" + "\n\n".join(parts) + "\n")
        figures.keep(figures.Results(study, records, folder))
    return clock


def conclude_search(contents, folder, command):
    """Write all settings of a search, print the best, and return a `Clock` as above."""
    study, clock = contents.study, Clock()
    with folder.alone("conclusion"), clock.on("figures"):
        # another command may have searched other rows
        rows = search_space.planned(study, folder.planned(), contents.seed)
        records, found = tables.by_row(folder.summaries(contents)), {}
        texts, said = [], []
        for row in rows:
            if row.name in records:
                results = found[row.name] = search.results(row, records[row.name])
                case = tables.plain(row.experiment.case_title)
                heading = f"## {case}\n\n" if row.experiment.case else ""
                options = search.selected_options(row, results)
                best = search.markdown(row, results, search.BEST)
                said.append(f"{heading}{best}\n\nselected: {options}")
                texts.append(heading + search.markdown(row, results))
        text = "\n\n".join(
            [f"# Search: {tables.plain(study.title)}", *texts, f"Made with `{command}`"]
        )
        _storage.write(folder.path / "search.md", f"{text}\n")
        _storage.write_json(folder.path / "search.json", found, indent=1)
        for one in said:
            print(f"\n{one}\n")
    return clock
