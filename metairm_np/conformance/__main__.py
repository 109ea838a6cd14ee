"""The command line: python -m metairm_np.conformance check MODULE:BACKEND, or generate."""

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
Check a backend, any framework's implementation of meta-IRM and its baselines, against the
reference.

  python -m metairm_np.conformance check metairm_np:fast
  python -m metairm_np.conformance check mypackage.module:value_and_grad
  python -m metairm_np.conformance check mypackage.module:Backend --dtype float32 --json report.json
  python -m metairm_np.conformance generate      rewrite the golden vectors
  python -m metairm_np.conformance generate --format json --out DIR      for any language
"""
EPILOG = """\
BACKEND is the function value_and_grad itself, or a module, an object or a class that has it and
perhaps more; docs/conformance.md says what they take and return.

Exit status: 0 everything is the reference's up to rounding, 1 something differs, or what is
required was left out, 2 could not run.
"""


def parser():
    """Return the argument parser."""
    p = Parser(prog="python -m metairm_np.conformance", description=DESCRIPTION, epilog=EPILOG)
    commands = p.add_subparsers(dest="command", required=True, metavar="{check,generate}")
    c = commands.add_parser("check", help="check a backend")
    c.add_argument(
        "backend",
        metavar="MODULE:BACKEND",
        help="where the backend is, such as package.module:Backend",
    )
    c.add_argument(
        "--dtype",
        choices=("float64", "float32"),
        default="float64",
        help="of the inputs (default: float64)",
    )
    c.add_argument("--cases", metavar="A,B", help="only these golden cases (default: all)")
    c.add_argument(
        "--random", type=int, default=0, metavar="N", help="add N random cases (default: 0)"
    )
    c.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of the random cases (default: 0)"
    )
    c.add_argument(
        "--require",
        default=",".join(REQUIRED),
        metavar="A,B",
        help="the stages that may not be left out (default: %(default)s)",
    )
    c.add_argument("--json", metavar="FILE", help="also write the whole report there")
    c.add_argument("--junit", metavar="FILE", help="also write a test for each check, JUnit XML")
    c.add_argument(
        "--github", action="store_true", help="also print what differs for GitHub Actions (::error)"
    )
    c.add_argument(
        "--verbose", action="store_true", help="show the arrays of every check that differs"
    )
    g = commands.add_parser("generate", help="rewrite the golden vectors")
    for command in (c, g):
        command.add_argument(
            "--golden",
            choices=tuple(vectors.FOLDERS),
            default=vectors.LATEST,
            help="which version of the golden vectors (default: %(default)s)",
        )
    g.add_argument(
        "--format",
        choices=("npz", "json"),
        default="npz",
        help="npz, computed anew, or those there are as JSON, a file for each case (default: npz)",
    )
    g.add_argument(
        "--out",
        metavar="DIR",
        help="folder to write to (default: the package's; JSON needs one)",
    )
    return p


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


def main(argv=None):
    """Run the command line, and return the exit status."""
    args = parser().parse_args(argv)
    try:
        if args.command == "check":
            return check(args)
        return generate(args)
    except (ValueError, TypeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
