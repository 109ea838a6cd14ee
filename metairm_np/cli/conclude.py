"""What a command leaves when its trials have ended: tables, figures and files."""

from metairm_np import _storage
from metairm_np.experiments.files import row_of
from metairm_np.reports import figures, search, tables

BEST = 10  # settings of a search that are printed; all are in its files


def conclude_table(args, study, folder, command):
    """Print the tables of all finished trials in `folder`, and write them with their figures."""
    records = folder.summaries(
        [row_of(name, case) for case, e in study.cases.items() for name in e.algorithms]
    )
    if not records:
        return
    machine = _storage.read_json(folder.path / "machine.json")
    parts = (
        tables.caption(study, records, args.dtype),
        tables.tables(study, records),
        tables.audit_line(records),
    )
    print("\n" + "\n\n".join(parts) + "\n")
    _storage.write(folder.path / "results.csv", tables.results_csv(records))
    config = _storage.read_json(folder.path / "config.json")
    everything = {"command": command, "machine": machine, "config": config, "trials": records}
    _storage.write_json(folder.path / "results.json", everything)
    _storage.write(
        folder.path / "report.md",
        tables.report(study, records, args.dtype, machine, command, study.figures),
    )
    for name in study.figures:
        figure, numbers = figures.make(name, figures.Results(study, records, folder))
        _storage.write_json(folder.path / f"{name}.json", numbers)
        for kind, image in figures.render(figure).items():
            _storage.write(folder.path / f"{name}.{kind}", image)


def conclude_search(study, rows, folder, command):
    """Print the best settings of a search, and write all of them."""
    records, found, texts = tables.by_row(folder.summaries([row.name for row in rows])), {}, []
    for row in rows:
        if row.name in records:
            results = found[row.name] = search.results(row, records[row.name])
            heading = f"## {row.experiment.case_title}\n\n" if row.experiment.case else ""
            options = search.selected_options(row, results)
            print(f"\n{heading}{search.markdown(row, results, BEST)}\n\nselected: {options}\n")
            texts.append(heading + search.markdown(row, results))
    text = "\n\n".join([f"# Search: {study.title}", *texts, f"Made with `{command}`"])
    _storage.write(folder.path / "search.md", f"{text}\n")
    _storage.write_json(folder.path / "search.json", found, indent=1)
