"""The command line: python -m metairm_np.run EXPERIMENT, or list."""

import shlex
import signal
import sys
from pathlib import Path

from tqdm import tqdm

from metairm_np import blas, checks, fast, figures, report, storage, sweep, trials
from metairm_np.experiments import available, load
from metairm_np.parsing import Parser
from metairm_np.processes import WorkersDiedError
from metairm_np.seeds import seed_sequence
from metairm_np.training import ENGINES
from metairm_np.version import __version__

DESCRIPTION = """\
Train the algorithms of an experiment and print its table beside the paper's.

  python -m metairm_np.run list             what there is, and about how long it takes
  python -m metairm_np.run cmnist           Colored MNIST, one trial of each of six algorithms, on real images
  python -m metairm_np.run cmnist --quick   the same as a smoke test, within a minute
"""
EPILOG = """\
Results go into DIR/NAME-HASH/, where HASH names the settings, the seed and the dtype: config.json, machine.json, one JSON
a trial in trials/ (with the history of its training), results.csv, report.md, accuracy.png and accuracy.svg. The same
command again reuses the trials that are finished there; more --trials or --algorithms add to them. Ctrl-C keeps them. With
--jobs N, N processes run trials side by side, the cores shared out among them, with the same results; Ctrl-C then finishes
what runs, and a second one stops it.

--set takes a key of the experiment's TOML file, or the end of one:
  --set n_per_env=12500                     of the environment
  --set steps=100                           of every algorithm that has it
  --set meta_irm.inner_lr=1.0               of one algorithm
  --set meta_irm.early_stopping.patience=5
  --set 'meta_irm.hidden=[390, 390]'        values are TOML

Exit status: 0 all trials finished, 1 some diverged or failed, 2 wrong
input or a folder that cannot be used, 130 interrupted.
"""


def parser():
    """Give the argument parser."""
    p = Parser(prog="python -m metairm_np.run", description=DESCRIPTION, epilog=EPILOG)
    p.add_argument("experiment", help="the name of an experiment, the path of a TOML file like those, or: list")
    p.add_argument("--algorithms", metavar="A,B", help="only these algorithms (default: all of the experiment's)")
    p.add_argument("--trials", type=int, default=1, metavar="N", help="how many seeds (default: 1; the paper: 10)")
    p.add_argument("--seed", type=int, default=0, metavar="S", help="the run's seed; trial t has its child t (default: 0)")
    p.add_argument("--dtype", default="float32", help="float32 or float64 (default: float32, about twice as fast)")
    p.add_argument("--engine", default="fast", help="fast, or spec: all gradients by autograd, slower (default: fast)")
    p.add_argument(
        "--audit-every", type=int, default=50, metavar="N",
        help="compare the gradient with autograd's at the first, the last and every N-th step (default: 50)",
    )  # fmt: skip
    p.add_argument(
        "--checkpoint-every", type=int, metavar="N",
        help="store the state of a trial every N steps; cut short, it goes on from there (default: it starts again)",
    )  # fmt: skip
    p.add_argument("--jobs", type=int, default=1, metavar="N", help="processes that run trials side by side (default: 1)")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting; may be repeated")
    p.add_argument("--quick", action="store_true", help="a smoke run: real data, all algorithms, little of everything")
    p.add_argument("--out", default="runs", metavar="DIR", help="where run folders go (default: runs)")
    p.add_argument("--verbose", action="store_true", help="say which BLAS kernels and how many threads are used")
    p.add_argument("--version", action="version", version=f"metairm_np {__version__}")
    return p


def main(arguments=None):
    """Run the command line and give its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    args = parser().parse_args(arguments)
    try:
        if args.experiment == "list":
            print(listing())
            return 0
        experiment, algorithms, folder = prepare(args)
    except (ValueError, TypeError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    if args.verbose:
        print(engine_line(args.engine))
    command = shlex.join(["python", "-m", "metairm_np.run", *arguments])
    return execute(args, experiment, algorithms, folder, command)


def engine_line(engine):
    """Say what will compute, and what would make it faster."""
    kernels = blas.kernels()
    with_kernels = f"OpenBLAS with its {kernels} kernels" if kernels else "a BLAS other than OpenBLAS"
    used = f"engine {engine}, {fast.threads()} threads on {blas.cores()} cores, {with_kernels}"
    return f"{used}; {blas.advice()}" if blas.advice() else used


def listing():
    """Give the list of experiments as text."""
    rows = []
    for name, config in available().items():
        minutes = config.get("minutes", 0)
        rows.append([name, config["reproduces"], config["title"], f"about {minutes:g} min" if minutes else "unknown"])
    return report.markdown(["experiment", "reproduces", "what", "one trial, two cores"], rows)


def prepare(args):
    """Check everything that the user gave, make the run folder, and write the config and the machine into it."""
    checks.count("--trials", args.trials, 1)
    checks.count("--jobs", args.jobs, 1)
    checks.choice("dtype", args.dtype, ("float32", "float64"))
    checks.choice("engine", args.engine, ENGINES)
    checks.count("--audit-every", args.audit_every, 1)
    if args.checkpoint_every is not None:
        checks.count("--checkpoint-every", args.checkpoint_every, 1)
    seed_sequence(args.seed)
    experiment = load(args.experiment, args.set, args.quick)
    algorithms = list(experiment.algorithms)
    if args.algorithms is not None:
        algorithms = [name.strip() for name in args.algorithms.split(",")]
        for name in algorithms:
            checks.choice("algorithm", name, experiment.algorithms)
    trial = experiment.data(args.seed)  # raises for values that its generator does not take
    for name in algorithms:
        experiment.algorithms[name].settings.check_for(len(trial.train_p), len(trial.validation))
    kind = f"{experiment.name}-quick" if args.quick else experiment.name
    folder = Path(args.out) / f"{kind}-{experiment.hash(args.seed, args.dtype, args.engine)}"
    settings = {**experiment.config, "seed": args.seed, "dtype": args.dtype, "engine": args.engine, "quick": args.quick}
    try:
        storage.write_json(folder / "config.json", settings, indent=1)
        storage.write_json(folder / "machine.json", trials.machine(), indent=1)
    except OSError as error:
        raise OSError(f"cannot write to {folder} ({error.strerror}); name a folder you may write to with --out") from None
    return experiment, algorithms, folder


def execute(args, experiment, algorithms, folder, command):
    """Run the trials, conclude, and give the exit status."""
    records, failures, progress = [], [], Progress()
    overall = tqdm(  # the steps of single trials are shown if there is one job
        total=args.trials * len(algorithms), unit="trial", dynamic_ncols=True, disable=None if args.jobs > 1 else True
    )

    def say(line, file):
        with tqdm.external_write_mode(file=file):
            print(line, file=file, flush=True)

    def ended(new=True):
        overall.total -= not new  # what is reused says nothing about the time that is left
        overall.update(new)
        overall.set_postfix(running=min(args.jobs, overall.total - overall.n), failed=len(failures))

    def on_trial(algorithm, trial):
        label = f"{experiment.algorithms[algorithm].label}, trial {trial}"
        return progress.start(label, experiment.algorithms[algorithm].settings.steps)

    def on_record(record, new):
        progress.close()
        records.append(record)
        test = record["test_accuracy"]
        found = ", ".join(f"{100 * test[f'{p_e:g}']:.1f} at p_e={p_e:g}" for p_e in experiment.table_p)
        ended(new)
        say(f"{'' if new else 'reused: '}{report.trial_line(record)}; test accuracy {found}", sys.stdout)

    def on_failure(task, error):
        failures.append(f"{task.algorithm} trial {task.trial}")
        ended()
        say(f"failed: {failures[-1]}: {type(error).__name__}: {error}", sys.stderr)

    def on_interrupt():
        say("\nfinishing the trials that run; Ctrl-C again stops them", sys.stderr)

    interrupted = False
    try:
        try:
            with overall:
                sweep.run(
                    experiment, algorithms, args.trials, args.seed, args.dtype, folder,
                    engine=args.engine, audit_every=args.audit_every, checkpoint_every=args.checkpoint_every, jobs=args.jobs,
                    on_trial=on_trial, on_record=on_record, on_failure=on_failure, on_interrupt=on_interrupt,
                )  # fmt: skip
        except KeyboardInterrupt:
            interrupted = True
            progress.close()
            print(f"\ninterrupted: {len(records)} finished trials are in {folder}; the same command goes on from there")
        conclude(args, experiment, folder, command)
    except WorkersDiedError as error:
        print(f"error: {error}; the same command goes on from there", file=sys.stderr)
        return 2
    except OSError as error:
        progress.close()
        print(f"error: cannot use {folder} ({error}); mend that, and the same command goes on from there", file=sys.stderr)
        return 2
    if interrupted:
        return 128 + signal.SIGINT
    for status in ("diverged", "failed audit"):
        names = [f"{r['algorithm']} trial {r['trial']}" for r in records if r["status"] == status]
        if names:
            print(f"{status}: {', '.join(names)}; their histories are in {folder}/trials", file=sys.stderr)
    print(folder)
    return 1 if failures or len(report.usable(records)) < len(records) else 0


def conclude(args, experiment, folder, command):
    """Print the table of all finished trials in `folder`, and write it with its figure."""
    records = sweep.stored(folder, experiment.algorithms)
    if not records:
        return
    machine = storage.read_json(folder / "machine.json")
    parts = report.caption(experiment, records, args.dtype), report.table(experiment, records), report.audit_line(records)
    print("\n" + "\n\n".join(parts) + "\n")
    storage.write(folder / "results.csv", report.results_csv(records))
    storage.write(folder / "report.md", report.report(experiment, records, args.dtype, machine, command))
    for kind, image in figures.accuracy_over_p_e(experiment, records).items():
        storage.write(folder / f"accuracy.{kind}", image)


class Progress:
    """A bar for the trial under way: step, risks, sigma and accuracies, on terminals only."""

    def __init__(self):
        self.bar, self.shown = None, {}

    def start(self, label, steps):
        """Open a bar and give the function that takes the rows of the history."""
        self.bar = tqdm(total=steps, desc=label, unit="step", leave=False, dynamic_ncols=True, disable=None)
        self.shown = {}
        return self.step

    def step(self, row):
        """Show a row of the history, and what an earlier row had and this one has not."""
        names = {
            "risk": "risk",
            "sigma": "sigma",
            "validation_sigma": "val_sigma",
            "accuracy": "train",
            "test_accuracy": "test",
        }
        for key, name in names.items():
            if key in row:
                value = row[key]
                self.shown[name] = "/".join(f"{v:.3f}" for v in value) if isinstance(value, list) else f"{value:.4f}"
        self.bar.set_postfix(self.shown, refresh=False)
        self.bar.update(row["step"] - self.bar.n)

    def close(self):
        """Take the bar away, if there is one."""
        if self.bar is not None:
            self.bar.close()


if __name__ == "__main__":
    sys.exit(main())
