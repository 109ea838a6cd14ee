"""The command line: python -m metairm_np.run EXPERIMENT, paper, search, list, status or report."""

import shlex
import signal
import sys

from metairm_np import _checks, _storage, fast
from metairm_np.cli import options, prepare
from metairm_np.cli.console import Console
from metairm_np.cli.status import run_folders, status
from metairm_np.experiments.files import available, title_of
from metairm_np.fast import _blas
from metairm_np.reports import tables
from metairm_np.reports.page import page
from metairm_np.sweeps import executors, reuse, sweep, trial


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
        workers = workers_for(args)
        prepared = prepare.everything(args, command)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "\ninterrupted before the first trial; the same command starts again", file=sys.stderr
        )
        return 128 + signal.SIGINT
    if args.verbose:
        print(engine_line(args.engine))
    code = 0
    for tasks, folder, conclude in prepared:
        code = max(code, execute(args, workers, tasks, folder, conclude))
        if code > 1:
            break
    return code


def listing():
    """Return the list of experiments as text."""
    rows = []
    for name, config in available().items():
        minutes = config.get("minutes", 0)
        about = f"about {minutes:g} min" if minutes else "unknown"
        rows.append([name, config["reproduces"], title_of(config), about])
    return tables.markdown(["experiment", "reproduces", "what", "one trial, two cores"], rows)


def write_page(folder, to):
    """Write the page of the run folders in `folder`, searches left out, and say where it is."""
    paths = [path for path in run_folders(folder) if not path.name.startswith("search-")]
    _storage.write(to, page(paths))
    return f"{to}: {len(paths)} run folders"


def engine_line(engine):
    """Say what will compute, and what would make it faster."""
    kernels = _blas.kernels()
    with_kernels = (
        f"OpenBLAS with its {kernels} kernels" if kernels else "a BLAS other than OpenBLAS"
    )
    used = f"engine {engine}, {fast.threads()} threads on {_blas.cores()} cores, {with_kernels}"
    return f"{used}; {_blas.advice()}" if _blas.advice() else used


def workers_for(args):
    """Return what carries out the trials, or None for this process."""
    _checks.count("--jobs", args.jobs, 1)
    if args.dask is not None:
        return executors.dask(args.dask, args.jobs)
    return executors.processes(args.jobs) if args.jobs > 1 else None


def execute(args, workers, tasks, folder, conclude):
    """Run the trials, conclude, and give the exit status."""
    console, interrupted = Console(tasks, args.jobs, folder.path), False
    try:
        try:
            reuse.adopt(tasks, folder)
            sweep.run(tasks, folder, workers or executors.serial(console.on_trial), console)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            console.close()
        if interrupted:
            n = len(folder.names())
            print(
                f"\ninterrupted: {n} finished trials are in {folder.path}; the same command goes on from there"
            )
        conclude()
    except (trial.WorkersError, ImportError) as error:
        print(f"error: {error}; the same command goes on from there", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"error: cannot use {folder.path} ({error}); mend that, and the same command goes on from there",
            file=sys.stderr,
        )
        return 2
    if interrupted:
        return 128 + signal.SIGINT
    code = console.conclusion()
    print(folder.path)
    return code
