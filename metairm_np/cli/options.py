"""What the command line takes."""

from metairm_np._arguments import Parser
from metairm_np._version import __version__

RUN = """\
Train the algorithms of an experiment and print its table beside the paper's.

  python -m metairm_np.run list             what there is, and about how long it takes
  python -m metairm_np.run cmnist           Colored MNIST, one trial of each of six algorithms, on real images
  python -m metairm_np.run cmnist --quick   the same as a smoke test, within a minute
  python -m metairm_np.run table2           one of table1 to table6 and figure3 to figure10
  python -m metairm_np.run paper            all of them, the cheapest first
  python -m metairm_np.run status runs      how far the runs in a folder have come
  python -m metairm_np.run report runs      one HTML page of them
  python -m metairm_np.run search cmnist --budget 20
                                            try settings; search --help explains
"""
RUN_EPILOG = """\
Results go into DIR/NAME-HASH/, where HASH names the settings, the seed and the dtype: config.json, machine.json, one JSON
a trial in trials/ (with the history of its training), results.json and .csv, report.md, figures as .png and .svg. The same
command again goes on where it stopped, whatever stopped it, and reuses the trials that are finished there; more --trials
or --algorithms add to them. Ctrl-C once finishes what runs, twice stops at once. Several commands may share a folder.

--jobs N: N processes run trials side by side, the cores shared out among them. --dask: Dask's workers do, which must have
the same release of metairm_np; records come back to this command, checkpoints go where the workers find DIR.

--set takes a key of the experiment's TOML file, or the end of one:
  --set n_per_env=12500                     of the environment
  --set steps=100                           of every algorithm that has it
  --set meta_irm.inner_lr=1.0               of one algorithm
  --set meta_irm.early_stopping.patience=5
  --set 'meta_irm.hidden=[390, 390]'        values are TOML

Exit status: 0 all trials finished, 1 some diverged or failed, 2 wrong
input or a folder that cannot be used, 130 interrupted.
"""
SEARCH = """\
Try random settings of an experiment's algorithms, from the ranges that its TOML file declares in [search].

The setting is selected on the training environments' validation sets alone, by the criterion in the TOML file. The table
shows what the settings give on the test environments, too, and marks as "oracle" the one that selecting there would have
given; its figures are no honest estimate. The trials have other data than those of any table.
"""
SEARCH_EPILOG = """\
Results go into DIR/search-NAME-HASH/: search.md and search.json with all settings, and one JSON a trial in trials/. The
same command goes on where it stopped; a larger --budget or more --trials add to what is there.
"""
REPORT = "Write one HTML page, which needs no other file, with the tables and figures of a run folder, or of each in a folder."
STATUS = (
    "Say how far a run folder, or each of those in a folder, has come: done, failed, running, left."
)


def parse(arguments):
    """Parse a command line; `command` of the result is "run", "list", "report", "search" or "status"."""
    if arguments[:1] == ["list"]:
        return _parser("list", "List the experiments.").parse_args(arguments[1:])
    if arguments[:1] == ["status"]:
        p = _parser("status", STATUS)
        p.add_argument("folder", metavar="DIR", help="a run folder, or a folder of them")
        return p.parse_args(arguments[1:])
    if arguments[:1] == ["report"]:
        p = _parser("report", REPORT)
        p.add_argument("folder", metavar="DIR", help="a run folder, or a folder of them")
        p.add_argument(
            "--to",
            default="report.html",
            metavar="FILE",
            help="where the page goes (default: report.html)",
        )
        return p.parse_args(arguments[1:])
    if arguments[:1] == ["search"]:
        p = _parser("search", SEARCH, SEARCH_EPILOG)
        p.add_argument(
            "experiment", help="the name of an experiment, or the path of a TOML file like those"
        )
        p.add_argument(
            "--budget",
            type=int,
            required=True,
            metavar="N",
            help="how many settings of each algorithm to try",
        )
        p.add_argument(
            "--trials",
            type=int,
            default=1,
            metavar="N",
            help="how many trials of each setting (default: 1)",
        )
        _shared(p)
        return p.parse_args(arguments[1:])
    p = _parser("run", RUN, RUN_EPILOG)
    p.add_argument(
        "experiment",
        help="an experiment, table1 ... figure10, the path of a TOML file, or: paper, list",
    )
    p.add_argument(
        "--trials",
        type=int,
        default=1,
        metavar="N",
        help="how many seeds (default: 1; the paper: 10)",
    )
    _shared(p)
    p.add_argument("--version", action="version", version=f"metairm_np {__version__}")
    return p.parse_args(arguments)


def _parser(command, description, epilog=None):
    name = "python -m metairm_np.run" + ("" if command == "run" else f" {command}")
    p = Parser(prog=name, description=description, epilog=epilog)
    p.set_defaults(command=command)
    return p


def _shared(p):
    """Add what running and searching have in common."""
    p.add_argument(
        "--algorithms",
        metavar="A,B",
        help="only these algorithms (default: all of the experiment's)",
    )
    p.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="S",
        help="the run's seed; trial t has its child t (default: 0)",
    )
    p.add_argument(
        "--dtype",
        default="float32",
        help="float32 or float64 (default: float32, about twice as fast)",
    )
    p.add_argument(
        "--engine",
        default="fast",
        help="fast, or spec: all gradients by autograd, slower (default: fast)",
    )
    p.add_argument(
        "--audit-every",
        type=int,
        default=50,
        metavar="N",
        help="compare the gradient with autograd's at the first, the last and every N-th step (default: 50)",
    )
    p.add_argument(
        "--checkpoint-every",
        type=int,
        metavar="N",
        help="store the state of a trial every N steps; cut short, it goes on from there (default: it starts again)",
    )
    p.add_argument(
        "--save-params",
        action="store_true",
        help="store the parameters that each trial ends with, as npz; a finished trial without them runs again",
    )
    p.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="processes that run trials side by side (default: 1)",
    )
    p.add_argument(
        "--dask",
        metavar="WHERE",
        help="run trials on Dask: local (--jobs processes of this machine), or a scheduler's address, tcp://host:8786",
    )
    p.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting; may be repeated",
    )
    p.add_argument(
        "--source",
        metavar="NAME",
        help="of the sentences: glue, or synthetic, made up and without a download",
    )
    p.add_argument(
        "--data-dir",
        metavar="DIR",
        help="folder with SST-2 and GloVe (default: METAIRM_DATA; without either they are downloaded, which needs pooch)",
    )
    p.add_argument(
        "--quick",
        action="store_true",
        help="a smoke run: real data, all algorithms, little of everything",
    )
    p.add_argument(
        "--out", default="runs", metavar="DIR", help="where run folders go (default: runs)"
    )
    p.add_argument(
        "--verbose",
        action="store_true",
        help="say which BLAS kernels and how many threads are used",
    )
