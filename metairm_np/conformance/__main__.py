"""The command line, python -m metairm_np.conformance; `COMMANDS` has its four commands."""

import importlib
import os
import sys

from metairm_np import _checks, _storage
from metairm_np._arguments import Parser
from metairm_np.conformance import outputs, plain_json, vectors
from metairm_np.conformance.offer import as_backend
from metairm_np.conformance.stages import REQUIRED
from metairm_np.conformance.suite import check_backend

DESCRIPTION = """\
Compare any framework's implementation of meta-IRM and its baselines with the reference: its steps
(check), the trials it trained (convergence), and with what it trains them (export-trial).

  python -m metairm_np.conformance check metairm_np:fast
  python -m metairm_np.conformance check mypackage.module:value_and_grad
  python -m metairm_np.conformance check mypackage.module:Backend --dtype float32 --json report.json
  python -m metairm_np.conformance convergence results.csv --against table1
  python -m metairm_np.conformance export-trial table1 --algorithm meta_irm --out trial.npz
  python -m metairm_np.conformance generate      rewrite the golden vectors
  python -m metairm_np.conformance generate --format json --out DIR      for any language
"""
CHECK = """\
Check a backend on cases whose answers are known.

BACKEND is the function value_and_grad itself, or a module, an object or a class that has it and
perhaps more; docs/conformance.md says what they take and return.
"""
CHECK_EPILOG = """\
Exit status: 0 everything is the reference's up to rounding, 1 something differs, or what is
required was left out, 2 could not run.
"""
CONVERGENCE = """\
Compare the test accuracies of trials with this project's trials of the same experiment.

RESULTS is a CSV file with the columns algorithm, trial, p_e and accuracy (and case, where the
experiment has several), a JSON file with a list of such rows, or a run folder of this project.
Accuracies are from 0 to 1 or all in per cent.
"""
CONVERGENCE_EPILOG = """\
Exit status: 0 all rows agree, 1 a row differs, 2 could not run, 3 no row differs, but there are too
few trials to tell whether all agree.
"""
EXPORT = """\
Write all that a trial draws into an npz file: which images, labels, colours, first parameters, and
the noise of the first steps; with the settings, and with what these steps give here. So another
framework can train the same trial. docs/conformance.md lists the arrays.
"""


def parser():
    """Return the argument parser."""
    p = Parser(prog="python -m metairm_np.conformance", description=DESCRIPTION)
    commands = p.add_subparsers(dest="command", required=True, metavar=f"{{{','.join(COMMANDS)}}}")
    for name, (add, run, about, texts) in COMMANDS.items():
        command = commands.add_parser(name, help=about, **texts)
        command.set_defaults(run=run)
        add(command)
    return p


def _check(p):
    p.add_argument(
        "backend",
        metavar="MODULE:BACKEND",
        help="where the backend is, such as package.module:Backend",
    )
    p.add_argument(
        "--dtype",
        choices=("float64", "float32"),
        default="float64",
        help="of the inputs (default: float64)",
    )
    p.add_argument("--cases", metavar="A,B", help="only these golden cases (default: all)")
    p.add_argument(
        "--random", type=int, default=0, metavar="N", help="add N random cases (default: 0)"
    )
    p.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of the random cases (default: 0)"
    )
    p.add_argument(
        "--require",
        default=",".join(REQUIRED),
        metavar="A,B",
        help="the stages that may not be left out (default: %(default)s)",
    )
    p.add_argument("--json", metavar="FILE", help="also write the whole report there")
    p.add_argument("--junit", metavar="FILE", help="also write a test for each check, JUnit XML")
    p.add_argument(
        "--github", action="store_true", help="also print what differs for GitHub Actions (::error)"
    )
    p.add_argument(
        "--verbose", action="store_true", help="show the arrays of every check that differs"
    )
    _golden(p)


def _convergence(p):
    p.add_argument("results", metavar="RESULTS", help="a file with trials, or a run folder")
    p.add_argument(
        "--against",
        required=True,
        metavar="NAME",
        help="an experiment, table or figure whose results this project has, such as table1; or "
        "the path of a file or run folder",
    )
    p.add_argument(
        "--margin",
        type=float,
        default=1.5,
        metavar="POINTS",
        help="how far apart means may be where they count as equivalent (default: 1.5)",
    )
    p.add_argument("--json", metavar="FILE", help="also write the whole report there")


def _export(p):
    p.add_argument("experiment", help="an experiment, table or figure, or the path of a TOML file")
    p.add_argument("--algorithm", required=True, metavar="NAME", help="one of the experiment's")
    p.add_argument("--case", metavar="NAME", help="one of the experiment's, if it has several")
    p.add_argument("--trial", type=int, default=0, metavar="N", help="which (default: 0)")
    p.add_argument("--seed", type=int, default=0, metavar="S", help="the run's (default: 0)")
    p.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help="how many steps' noise and answers (default: 20, or all if there are fewer)",
    )
    p.add_argument(
        "--dtype",
        choices=("float64", "float32"),
        default="float64",
        help="of parameters, noise and training (default: float64)",
    )
    p.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting, as python -m metairm_np.run does; may be repeated",
    )
    p.add_argument("--out", required=True, metavar="FILE", help="the npz file to write")


def _generate(p):
    p.add_argument(
        "--format",
        choices=("npz", "json"),
        default="npz",
        help="npz, computed anew, or those there are as JSON, a file for each case (default: npz)",
    )
    p.add_argument(
        "--out",
        metavar="DIR",
        help="folder to write to (default: the package's; JSON needs one)",
    )
    _golden(p)


def _golden(p):
    p.add_argument(
        "--golden",
        choices=tuple(vectors.FOLDERS),
        default=vectors.LATEST,
        help="which version of the golden vectors (default: %(default)s)",
    )


def resolve(where):
    """Import the backend that MODULE:BACKEND names.

    Raises
    ------
    ValueError
        If it is not written like that, or cannot be imported.
    TypeError
        If it is no backend, or a class that cannot be made without arguments.
    """
    module, colon, path = where.partition(":")
    if not (module and colon and path):
        raise ValueError(f"the backend is {where!r}; name it as package.module:Backend")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # an installed script would not look here
    try:
        found = importlib.import_module(module)
    except Exception as error:
        raise ValueError(
            f"cannot import {module}: {type(error).__name__}: {error}; is it here, or installed?"
        ) from error
    for name in path.split("."):
        if not hasattr(found, name):
            known = [key for key in dir(found) if not key.startswith("_")]
            raise ValueError(f"{module} has no {path}; {_checks.nearest(name, known)}")
        found = getattr(found, name)
    return as_backend(found, where)


def check(args):
    """Run `check`, and return the exit status."""
    cases = None if args.cases is None else args.cases.split(",")
    backend = resolve(args.backend)
    report = check_backend(
        backend,
        args.dtype,
        cases=cases,
        random=args.random,
        seed=args.seed,
        golden=args.golden,
        require=[stage for stage in args.require.split(",") if stage],
        progress=True,
    )
    print(report.text(args.verbose))
    if args.github:
        for line in outputs.annotations(report, backend):
            print(line)
    if args.json:
        _storage.write_json(args.json, report.as_dict(), indent=1)
    if args.junit:
        _storage.write(args.junit, outputs.junit(report))
    return 2 if not report.ran else 0 if report.passed else 1


def convergence(args):
    """Run `convergence`, and return the exit status."""
    from metairm_np.conformance.trainings.convergence import STATUS, check_results

    found = check_results(args.results, args.against, args.margin)
    print(found.text())
    if args.json:
        _storage.write_json(args.json, found.as_dict(), indent=1)
    return STATUS[found.verdict]


def export(args):
    """Run `export-trial`, and return the exit status."""
    from metairm_np.conformance.trainings.export import export_trial, load

    chosen = load(args.experiment, args.set, args.case, args.algorithm)
    print(export_trial(args.out, *chosen, args.trial, args.seed, args.steps, args.dtype))
    return 0


def generate(args):
    """Run `generate`, and return the exit status."""
    folder = vectors.FOLDERS[args.golden] if args.out is None else args.out
    if args.format == "json":
        if args.out is None:
            raise ValueError("--format json needs a folder to write to; add --out DIR")
        plain_json.write(folder, args.golden)
    else:
        vectors.write(folder, args.golden)
    print(folder)
    return 0


COMMANDS = {  # what adds their arguments, what runs them, and what their parsers say
    "check": (
        _check,
        check,
        "check a backend",
        {"description": CHECK, "epilog": CHECK_EPILOG},
    ),
    "convergence": (
        _convergence,
        convergence,
        "compare trained trials",
        {"description": CONVERGENCE, "epilog": CONVERGENCE_EPILOG},
    ),
    "export-trial": (
        _export,
        export,
        "write what a trial draws",
        {"description": EXPORT},
    ),
    "generate": (_generate, generate, "rewrite the golden vectors", {}),
}


def main(argv=None):
    """Run the command line, and return the exit status."""
    args = parser().parse_args(argv)
    try:
        return args.run(args)
    except (ValueError, TypeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
