"""The command line: python -m metairm_np.run EXPERIMENT, paper, search, template, list, ..."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

from metairm_np import _checks, _storage, fast, sweeps
from metairm_np._storage import shipped
from metairm_np.cli import options, prepare
from metairm_np.cli.console import Console
from metairm_np.cli.status import run_folders, status
from metairm_np.cli.streams import forgiving
from metairm_np.experiments import _inherit
from metairm_np.experiments.files import available, title_of
from metairm_np.fast import _blas
from metairm_np.reports import tables
from metairm_np.reports.page import page

INTERRUPTED = 128 + signal.SIGINT


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : list of str, optional
        Default: those of this process.

    Returns
    -------
    int
        The exit status: 0 all is well, 1 some trials diverged or failed, or standard output cannot
        be written, 2 wrong input or a folder that cannot be used, 130 interrupted.
    """
    with forgiving() as out:
        code = carry_out(sys.argv[1:] if arguments is None else arguments)
        out.flush()
        if out.error and not isinstance(out.error, BrokenPipeError):  # whose reader had enough
            print(f"error: cannot write to standard output ({out.error})", file=sys.stderr)
            code = code or 1
    return code


def carry_out(arguments):
    """Do what a command line asks for, and return the exit status."""
    args = options.parse(arguments)
    command = shlex.join(["python", "-m", "metairm_np.run", *arguments])
    try:
        if args.command in SAID:
            print(SAID[args.command](args))
            return 0
        dask = dask_for(args)
        prepared = prepare.everything(args, command)
    except (ValueError, TypeError, OSError, ImportError) as error:
        return refuse(" ".join(str(error).split()))
    except KeyboardInterrupt:
        when = "" if args.command in SAID else " before the first trial"
        print(f"\ninterrupted{when}; the same command starts again", file=sys.stderr)
        return INTERRUPTED
    if args.verbose:
        print(engine_line(args.engine))
    code = 0
    for tasks, folder, conclude in prepared:
        code = max(code, execute(args, dask, tasks, folder, conclude))
        if code > 1:
            break
    return code


def refuse(sentence):
    """Say what is wrong, and return the exit status."""
    print(f"error: {sentence}", file=sys.stderr)
    return 2


def listing():
    """Return the list of experiments as text."""
    rows = []
    for name, config in available().items():
        minutes = config.get("minutes", 0)
        about = f"about {minutes:g} min" if minutes else "unknown"
        rows.append([name, config["reproduces"], title_of(config), about])
    return tables.markdown(["experiment", "reproduces", "what", "one trial, two cores"], rows)


def template():
    """Return the file of an experiment on one's own data, to be filled in."""
    path = shipped("experiments") / f"{_inherit.TEMPLATE}.toml"
    return path.read_text(encoding="utf-8").rstrip()


def write_page(folder, to):
    """Write the page of the run folders in `folder`, by default beside them; say where it is."""
    to = Path(folder) / "report.html" if to is None else Path(to)
    made = page(run_folders(folder), to.parent)
    if not made.shown:
        raise ValueError(next(iter(made.left_out.values())))
    for path, why in made.left_out.items():
        _storage.log.warning(why if str(path) in why else f"{path}: {why}")
    try:
        _storage.remove_partial(to.parent, to.name)
        _storage.write(to, made.html)
    except OSError as error:
        raise OSError(
            f"cannot write {to} ({error.strerror or error}); name another place with --to"
        ) from None
    left_out = f", {len(made.left_out)} left out" * bool(made.left_out)
    return f"{to}: {len(made.shown)} run folders{left_out}"


def engine_line(engine):
    """Say what will compute, and what would make it faster."""
    kernels, advice = _blas.kernels(), _blas.advice()
    blas = f"OpenBLAS with its {kernels} kernels" if kernels else "a BLAS other than OpenBLAS"
    used = f"engine {engine}, {fast.threads()} threads on {_blas.cores()} cores, {blas}"
    return f"{used}; {advice}" if advice else used


def dask_for(args):
    """Return Dask's workers if they are wanted, or None."""
    if args.jobs is not None:
        _checks.count("--jobs", args.jobs, 1)
    return None if args.dask is None else sweeps.dask(args.dask, args.jobs or _blas.cores())


def execute(args, dask, tasks, folder, conclude):
    """Run the trials, conclude, and return the exit status."""
    console, interrupted = Console(tasks, folder.path), False

    def workers(left):
        """Return what carries out so many trials: unless said, a process for each core."""
        console.jobs = args.jobs or max(1, min(left, _blas.cores()))
        if dask:
            return dask
        processes = console.jobs > 1
        return sweeps.processes(console.jobs) if processes else sweeps.serial(console.on_trial)

    try:
        try:
            with logging_redirect_tqdm([_storage.log]):  # above the bars
                sweeps.adopt(folder, tasks)
                sweeps.run(tasks, folder, workers, console, args.checkpoint_every)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            console.close()
        if interrupted:
            print(
                f"\ninterrupted: {len(folder.names())} finished trials are in {folder.path}; "
                "the same command goes on from there"
            )
        console.clock.add(conclude().seconds)
    except KeyboardInterrupt:  # while the tables and figures are made
        print(f"\ninterrupted; the same command makes the tables of {folder.path}", file=sys.stderr)
        return INTERRUPTED
    except (sweeps.WorkersError, ImportError) as error:
        return refuse(f"{error}; the same command goes on from there")
    except OSError as error:
        return refuse(
            f"cannot use {folder.path} ({error}); fix that, and the same command goes on from there"
        )
    if interrupted:
        return INTERRUPTED
    if args.verbose:
        print(console.clock.split())
    code = console.conclusion()
    print(folder.path)
    return code


SAID = {  # the commands that only say something
    "list": lambda args: listing(),
    "status": lambda args: status(args.folder),
    "template": lambda args: template(),
    "report": lambda args: write_page(args.folder, args.to),
}
