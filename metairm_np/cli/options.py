"""What the command line takes."""

from metairm_np._arguments import Parser
from metairm_np._version import __version__

RUN = """\
Train the algorithms of an experiment and print its table beside the paper's.

  python -m metairm_np.run list             what there is, and about how long it takes
  python -m metairm_np.run cmnist           Colored MNIST, a trial of each of its algorithms
  python -m metairm_np.run cmnist --quick   the same as a smoke test, within a minute
  python -m metairm_np.run table2           one of table1 to table6 and figure3 to figure10
  python -m metairm_np.run paper            all of them, the cheapest first
  python -m metairm_np.run status runs      how far the runs in a folder have come
  python -m metairm_np.run report runs      one HTML page of them
  python -m metairm_np.run search cmnist --budget 20
                                            try settings; search --help explains
  python -m metairm_np.run template > mine.toml
                                            an experiment on your own data, to be filled in
"""
RUN_EPILOG = """\
Results go into DIR/NAME-HASH/, where HASH names the settings, the seed and the dtype: config.json,
machine.json, one JSON a trial in trials/ (with the history of its training), results.json and .csv,
report.md, figures as .png and .svg. The same command again goes on where it stopped, whatever
stopped it, and reuses the trials that are finished there; more --trials or --algorithms add to
them. Ctrl-C once finishes what runs, twice stops at once. Several commands may share a folder.

--jobs N: N processes run trials side by side, the cores shared out among them; the bits are the
same. --dask: Dask's
workers do, which must have the same release of metairm_np; records come back to this command,
checkpoints go where the workers find DIR.

--set takes a key of the experiment's TOML file, or the end of one:
  --set n_per_env=12500                     of the environment
  --set steps=100                           of every algorithm that has it
  --set meta_irm.inner_lr=1.0               of one algorithm
  --set meta_irm.early_stopping.patience=5
  --set 'meta_irm.hidden=[390, 390]'        values are TOML

Exit status: 0 all trials finished, 1 some diverged or failed, or the output cannot be written, 2
wrong input or a folder that cannot be used, 130 interrupted.
"""
SEARCH = """\
Try random settings of an experiment's algorithms, from the ranges that its TOML file declares in
[search].

The setting is selected on the training environments' validation sets alone, by the criterion in the
TOML file. The table shows what the settings give on the test environments, too, and marks as
"oracle" the one that selecting there would have given; its figures are no honest estimate. The
trials have other data than those of any table.
"""
SEARCH_EPILOG = """\
Results go into DIR/search-NAME-HASH/: search.md and search.json with all settings, and one JSON a
trial in trials/. The same command goes on where it stopped; a larger --budget or more --trials add
to what is there.
"""
STATUS = """\
Say how far a run folder, or each of those in a folder, has come: done, failed, running, left.
"""
TEMPLATE = """\
Print the TOML file of an experiment on your own data, to be filled in: CSV or npz files, whose
environments have names.
"""
REPORT = """\
Write one HTML page, which needs no other file, with the tables and figures of a run folder, or of
each in a folder, searches included.
"""


def parse(arguments):
    """Parse a command line; `command` of the result is a key of `COMMANDS`, by default "run"."""
    named = arguments[:1] and arguments[0] in COMMANDS and arguments[0] != "run"
    command = arguments[0] if named else "run"
    texts, add = COMMANDS[command]
    name = "python -m metairm_np.run" + (f" {command}" if named else "")
    parser = Parser(prog=name, **texts)
    parser.set_defaults(command=command)
    add(parser)
    return parser.parse_args(arguments[1:] if named else arguments)


def _run(p):
    p.add_argument(
        "experiment",
        help="an experiment, table1 ... figure10, the path of a TOML file, or: paper, list",
    )
    _number(p, "--trials", "how many seeds (default: 1; the paper: 10)", default=1)
    _shared(p)
    p.add_argument("--version", action="version", version=f"metairm_np {__version__}")


def _search(p):
    p.add_argument(
        "experiment", help="the name of an experiment, or the path of a TOML file like those"
    )
    _number(p, "--budget", "how many settings of each algorithm to try", required=True)
    _number(
        p,
        "--trials",
        "how many trials of each setting (default: 3, since a setting is also judged by how much "
        "they differ)",
        default=3,
    )
    _number(
        p,
        "--best",
        "give further trials only to the N settings of each algorithm that are best in the first "
        "one (default: to all)",
    )
    _shared(p)


def _folder(p):
    p.add_argument("folder", metavar="DIR", help="a run folder, or a folder of them")


def _report(p):
    _folder(p)
    _text(p, "--to", "FILE", "where the page goes (default: report.html in DIR)")


def _shared(p):
    """Add what running and searching have in common."""
    _text(p, "--algorithms", "A,B", "only these algorithms (default: all of the experiment's)")
    _number(
        p, "--seed", "the run's seed; trial t has its child t (default: 0)", metavar="S", default=0
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
    _number(
        p,
        "--audit-every",
        "compare the gradient with autograd's at the first, the last and every N-th step "
        "(default: 50)",
        default=50,
    )
    _number(
        p,
        "--checkpoint-every",
        "store the state of a trial every N steps; cut short, it goes on from there "
        "(default: it starts again)",
    )
    p.add_argument(
        "--save-params",
        action="store_true",
        help="store the parameters that each trial ends with, as npz; a finished trial without "
        "them runs again",
    )
    _number(
        p,
        "--jobs",
        "processes that run trials side by side (default: one for each core, if there are several "
        "trials to run)",
    )
    _text(
        p,
        "--dask",
        "WHERE",
        "run trials on Dask: local (--jobs processes of this machine), or a scheduler's address, "
        "tcp://host:8786",
    )
    _text(p, "--set", "KEY=VALUE", "change a setting; may be repeated", action="append", default=[])
    _text(
        p,
        "--source",
        "NAME",
        "of the sentences: glue, or synthetic, made up and without a download",
    )
    _text(
        p,
        "--data-dir",
        "DIR",
        "folder with SST-2 and GloVe (default: METAIRM_DATA; without either they are downloaded, "
        "which needs pooch)",
    )
    p.add_argument(
        "--quick",
        action="store_true",
        help="a smoke run: real data, all algorithms, little of everything",
    )
    _text(p, "--out", "DIR", "where run folders go (default: runs)", default="runs")
    p.add_argument(
        "--verbose",
        action="store_true",
        help="say which BLAS kernels and how many threads are used, and where the time went",
    )


def _number(p, flag, text, metavar="N", **settings):
    p.add_argument(flag, type=int, metavar=metavar, help=text, **settings)


def _text(p, flag, metavar, text, **settings):
    p.add_argument(flag, metavar=metavar, help=text, **settings)


COMMANDS = {  # what their parsers say, and what adds their arguments
    "run": ({"description": RUN, "epilog": RUN_EPILOG}, _run),
    "list": ({"description": "List the experiments."}, lambda p: None),
    "status": ({"description": STATUS}, _folder),
    "template": ({"description": TEMPLATE}, lambda p: None),
    "report": ({"description": REPORT}, _report),
    "search": ({"description": SEARCH, "epilog": SEARCH_EPILOG}, _search),
}
