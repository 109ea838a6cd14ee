"""The command line: python -m metairm_np.run EXPERIMENT, list, status or search."""

import shlex
import signal
import sys
from dataclasses import fields
from pathlib import Path

from metairm_np import blas, checks, executors, fast, figures, options, report, search, storage, sweep, trials
from metairm_np.console import Console
from metairm_np.experiments import available, load_study, resolve
from metairm_np.folder import Folder, row_of
from metairm_np.page import page
from metairm_np.seeds import seed_sequence
from metairm_np.status import run_folders, status
from metairm_np.training import ENGINES

BEST = 10  # settings of a search that are printed; all are in its files


def main(arguments=None):
    """Run the command line and give its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    args = options.parse(arguments)
    command = shlex.join(["python", "-m", "metairm_np.run", *arguments])
    try:
        if args.command == "list":
            print(listing())
            return 0
        if args.command == "status":
            print(status(args.folder))
            return 0
        if args.command == "report":
            print(write_page(args.folder, args.to))
            return 0
        prepare_command = prepare_search if args.command == "search" else prepare_table
        workers = workers_for(args)
        tasks, folder, conclude = prepare_command(args, command)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    if args.verbose:
        print(engine_line(args.engine))
    return execute(args, workers, tasks, folder, conclude)


def listing():
    """Give the list of experiments as text."""
    rows = []
    for name, config in available().items():
        minutes = config.get("minutes", 0)
        rows.append([name, config["reproduces"], config["title"], f"about {minutes:g} min" if minutes else "unknown"])
    return report.markdown(["experiment", "reproduces", "what", "one trial, two cores"], rows)


def write_page(folder, to):
    """Write the page of the run folders in `folder`, searches left out, and say where it is."""
    paths = [path for path in run_folders(folder) if not path.name.startswith("search-")]
    storage.write(to, page(paths))
    return f"{to}: {len(paths)} run folders"


def engine_line(engine):
    """Say what will compute, and what would make it faster."""
    kernels = blas.kernels()
    with_kernels = f"OpenBLAS with its {kernels} kernels" if kernels else "a BLAS other than OpenBLAS"
    used = f"engine {engine}, {fast.threads()} threads on {blas.cores()} cores, {with_kernels}"
    return f"{used}; {blas.advice()}" if blas.advice() else used


def workers_for(args):
    """Give what carries out the trials, or None for this process."""
    checks.count("--jobs", args.jobs, 1)
    if args.dask is not None:
        return executors.dask(args.dask, args.jobs)
    return executors.processes(args.jobs) if args.jobs > 1 else None


def prepare(args):
    """Check what all commands take, and give the study and the algorithms that are wanted."""
    for name in ("trials", "audit_every", "checkpoint_every"):
        if getattr(args, name) is not None:
            checks.count(f"--{name.replace('_', '-')}", getattr(args, name), 1)
    checks.choice("dtype", args.dtype, ("float32", "float64"))
    checks.choice("engine", args.engine, ENGINES)
    seed_sequence(args.seed)
    study = load_study(args.experiment, args.set, args.quick)
    algorithms = study.algorithms
    if args.algorithms is not None:
        algorithms = [name.strip() for name in args.algorithms.split(",")]
        for name in algorithms:
            checks.choice("algorithm", name, study.algorithms)
    return study, algorithms


def check_data(args, experiment, variants):
    """Raise unless the data can be made, and the algorithms of all `variants` of the experiment can be trained on it."""
    trial = experiment.data(args.seed)
    for variant in variants:
        for algorithm in variant.algorithms.values():
            algorithm.settings.check_for(len(trial.train_p), len(trial.validation))


def open_folder(args, kind, study, more, rows, first, settings=None):
    """Make the run folder, with the config, the machine and the plan in it."""
    name = f"{study.name}-quick" if args.quick else study.name
    folder = Folder(Path(args.out) / f"{kind}{name}-{study.hash(args.seed, args.dtype, args.engine, **more)}")
    config = {field.name: getattr(study, field.name) for field in fields(study)}
    config.update(seed=args.seed, dtype=args.dtype, engine=args.engine)
    config["cases"] = {case: experiment.config for case, experiment in study.cases.items()}
    try:
        storage.write_json(folder.path / "config.json", config, indent=1)
        storage.write_json(folder.path / "machine.json", trials.machine(), indent=1)
        folder.plan(rows, first, args.trials, settings)
    except OSError as error:
        raise OSError(f"cannot write to {folder.path} ({error.strerror}); name a folder you may write to with --out") from None
    return folder


def tasks_of(args, experiment, algorithms, folder, first=0, setting=None, keep_params=False):
    """Give the trials that are asked for."""
    keep_params = keep_params or args.save_params
    return sweep.tasks_of(
        experiment, algorithms, range(first, first + args.trials), args.seed, args.dtype, folder, engine=args.engine,
        audit_every=args.audit_every, checkpoint_every=args.checkpoint_every, keep_params=keep_params, setting=setting,
    )  # fmt: skip


def prepare_table(args, command):
    """Give what `execute` needs to make a study's tables and figures."""
    study, algorithms = prepare(args)
    rows, wanted = [], {}
    for case, experiment in study.cases.items():
        wanted[case] = [name for name in algorithms if name in experiment.algorithms]
        check_data(args, experiment, [experiment])
        rows += [row_of(name, case) for name in wanted[case]]
    folder, tasks = open_folder(args, "", study, {}, rows, 0), []
    for case, experiment in study.cases.items():
        tasks += tasks_of(args, experiment, wanted[case], folder, keep_params=study.keep_params)
    return tasks, folder, lambda: conclude_table(args, study, folder, command)


def prepare_search(args, command):
    """Give what `execute` needs to search for settings."""
    checks.count("--budget", args.budget, 1)
    study, algorithms = prepare(args)
    experiment = next(iter(study.cases.values()))
    tables = experiment.config.get("search", {})
    for name, table in tables.items():
        search.check(name, table, experiment.algorithms)
    algorithms = algorithms if args.algorithms is not None else [name for name in algorithms if name in tables]
    for name in algorithms or ["any algorithm"]:
        if name not in tables:
            raise ValueError(f"{study.name} has no [search.{name}]; write its ranges into a copy of the TOML file")
    drawn = {name: [search.draw(tables[name]["ranges"], args.seed, n) for n in range(args.budget)] for name in algorithms}
    variants = [
        (name, number, resolve(search.with_setting(experiment.config, name, values)))
        for name in algorithms
        for number, values in enumerate(drawn[name])
    ]
    check_data(args, experiment, [variant for _, _, variant in variants])
    rows = [row_of(name, experiment.case) for name in algorithms]
    folder = open_folder(args, "search-", study, {"search": tables}, rows, search.FIRST_TRIAL, args.budget)
    tasks = []
    for name, number, variant in variants:
        tasks += tasks_of(args, variant, [name], folder, search.FIRST_TRIAL, number)
    tasks.sort(key=lambda task: task.trial)  # those of a trial share its data
    return tasks, folder, lambda: conclude_search(study, experiment, drawn, folder, command)


def execute(args, workers, tasks, folder, conclude):
    """Run the trials, conclude, and give the exit status."""
    console, interrupted = Console(tasks, args.jobs, folder.path), False
    try:
        try:
            sweep.run(tasks, folder, workers or executors.serial(console.on_trial), console)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            console.close()
        if interrupted:
            n = len(folder.names())
            print(f"\ninterrupted: {n} finished trials are in {folder.path}; the same command goes on from there")
        conclude()
    except (trials.WorkersError, ImportError) as error:
        print(f"error: {error}; the same command goes on from there", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: cannot use {folder.path} ({error}); mend that, and the same command goes on from there", file=sys.stderr)
        return 2
    if interrupted:
        return 128 + signal.SIGINT
    code = console.conclusion()
    print(folder.path)
    return code


def conclude_table(args, study, folder, command):
    """Print the tables of all finished trials in `folder`, and write them with their figures."""
    records = folder.summaries([row_of(name, case) for case, e in study.cases.items() for name in e.algorithms])
    if not records:
        return
    machine = storage.read_json(folder.path / "machine.json")
    parts = report.caption(study, records, args.dtype), report.tables(study, records), report.audit_line(records)
    print("\n" + "\n\n".join(parts) + "\n")
    storage.write(folder.path / "results.csv", report.results_csv(records))
    storage.write(folder.path / "report.md", report.report(study, records, args.dtype, machine, command, study.figures))
    for name in study.figures:
        for kind, image in figures.render(figures.FIGURES[name](figures.Results(study, records, folder))).items():
            storage.write(folder.path / f"{name}.{kind}", image)


def conclude_search(study, experiment, drawn, folder, command):
    """Print the best settings of a search, and write all of them."""
    groups = report.by_algorithm(folder.summaries([row_of(name, experiment.case) for name in drawn]))
    found = {name: search.results(experiment, name, drawn[name], records) for name, records in groups.items()}
    for name, rows in found.items():
        print(f"\n{search.markdown(experiment, name, rows, BEST)}\n\nselected: {search.selected_options(name, rows)}\n")
    tables = [search.markdown(experiment, name, rows) for name, rows in found.items()]
    text = "\n\n".join([f"# Search: {study.title}", *tables, f"Made with `{command}`"])
    storage.write(folder.path / "search.md", f"{text}\n")
    storage.write_json(folder.path / "search.json", found, indent=1)


if __name__ == "__main__":
    sys.exit(main())
