"""A command line to what it asks for: the trials, the run folder, and how to conclude."""

import os
from argparse import Namespace
from pathlib import Path

from metairm_np import _checks, _storage, sweeps
from metairm_np._seeds import seed_sequence
from metairm_np.cli import conclude
from metairm_np.experiments import search_space
from metairm_np.experiments.files import (
    available,
    environment_keys,
    load_study,
    resolve,
    row_of,
)
from metairm_np.reports import figures, search, tables
from metairm_np.sweeps.plan import MOST
from metairm_np.sweeps.trial import machine
from metairm_np.training.engines import ENGINES

MOST_IN_ALL = 1_000_000  # trials of a command
PAPER = "paper"  # the name of all experiments that belong to the paper


def prepare(args):
    """Check what all commands take; return the study and the algorithms that are wanted."""
    _checks.count("--trials", args.trials, 1, MOST)
    for name in ("audit_every", "checkpoint_every"):
        if getattr(args, name) is not None:
            _checks.count(f"--{name.replace('_', '-')}", getattr(args, name), 1)
    _checks.choice("dtype", args.dtype, ("float32", "float64"))
    _checks.choice("engine", args.engine, ENGINES)
    seed_sequence(args.seed)
    study = load_study(args.experiment, args.set, args.quick)
    figures.check(study)
    algorithms = study.algorithms
    if args.algorithms is not None:
        algorithms = [name.strip() for name in args.algorithms.split(",")]
        for name in algorithms:
            _checks.choice("algorithm", name, study.algorithms)
    return study, algorithms


def everything(args, command):
    """Return what `execute` needs, one entry per run folder: for "paper" several."""
    if args.data_dir is not None:
        folder = Path(args.data_dir).expanduser().absolute()
        os.environ["METAIRM_DATA"] = str(folder)  # workers get it, too
    if args.command == "run" and args.experiment == PAPER:
        configs = [config for config in available().values() if config.get("artefacts")]
        configs.sort(key=lambda config: config.get("minutes", 0))  # the quick ones first
        studies = [(config["name"], "source" in environment_keys(config)) for config in configs]
    else:
        studies = [(args.experiment, args.source is not None)]
        if args.source is not None:
            check_source(load_study(args.experiment, args.set, args.quick))
    prepare_one = prepare_search if args.command == "search" else prepare_table
    prepared = []
    for name, has_source in studies:
        source = [f"source={args.source}"] if args.source is not None and has_source else []
        own = Namespace(**{**vars(args), "experiment": name, "set": [*args.set, *source]})
        prepared.append(prepare_one(own, command))
    return prepared


def check_source(study):
    """Raise ValueError unless the data of a study have a source to choose."""
    for experiment in study.cases.values():
        if "source" not in environment_keys(experiment.config):
            raise ValueError(
                f"--source chooses sentences, and {study.name} has none (its data are "
                f"{experiment.generator}); leave it out"
            )


def check_data(args, experiment, algorithms):
    """Raise unless the data can be made, and all `algorithms` trained on it."""
    trial = experiment.data(args.seed)
    for algorithm in algorithms:
        algorithm.settings.check_for(trial.n_envs, len(trial.validation))
        if algorithm.settings.greyscale:
            trial.greyscale()


def files_of(study):
    """Return the SHA-256 of the files that the data are from, by path; of one's own files only."""
    return {
        str(Path(one.environment["folder"], file)): digest
        for one in study.cases.values()
        for file, digest in (one.environment.get("sha256") or {}).items()
    }


def check_files(study, out):
    """Raise ValueError if a file has changed since a run folder of the study in `out` was made."""
    files = files_of(study)
    for config in sorted(Path(out).glob("*/config.json")) if files else []:
        try:
            other = sweeps.Contents.read(config.parent).study
        except ValueError:  # one that cannot be used has no say
            continue
        earlier = files_of(other) if other.name == study.name else {}
        for file, digest in files.items():
            if earlier.get(file, digest) != digest:
                raise ValueError(
                    f"{file} has changed since {config.parent} was made (its SHA-256 was "
                    f"{earlier[file][:12]}... and is {digest[:12]}...); put the old file back, or "
                    "keep the runs apart: another name in the experiment, or --out"
                )


def open_folder(args, kind, study, digits, rows, trials, first=0, settings=None):
    """Make the run folder of the `digits`, with the config, the machine and the plan in it."""
    asked = len(rows) * args.trials * (settings or 1)
    if asked > MOST_IN_ALL:
        fewer = "--trials" if settings is None else "--trials or a smaller --budget"
        raise ValueError(
            f"that is {asked} trials in all, a command runs at most {MOST_IN_ALL}; "
            f"give fewer {fewer}"
        )
    name = f"{study.name}-quick" if args.quick else study.name
    folder = sweeps.Folder(Path(args.out) / f"{kind}{name}-{digits}")
    contents = sweeps.Contents.new(study, args.seed, args.dtype, args.engine)
    check_files(study, args.out)
    try:
        folder.check()
        _storage.write_record(folder.path / "config.json", contents.config(), indent=1)
        _storage.write_json(folder.path / "machine.json", machine(), indent=1)
        folder.plan(rows, first, trials, settings)
    except OSError as error:
        raise OSError(
            f"cannot write to {folder.path} ({error.strerror or error}); "
            "name a folder you may write to with --out"
        ) from None
    return folder, contents


def prepare_table(args, command):
    """Return what `execute` needs to make a study's tables and figures."""
    study, algorithms = prepare(args)
    rows, wanted = [], {}
    for case, experiment in study.cases.items():
        wanted[case] = [name for name in algorithms if name in experiment.algorithms]
        check_data(args, experiment, [experiment.algorithms[name] for name in wanted[case]])
        rows += [row_of(name, case) for name in wanted[case]]
    digits = study.hash(args.seed, args.dtype, args.engine)
    folder, contents = open_folder(args, "", study, digits, rows, args.trials)
    options = {
        "audit_every": args.audit_every,
        "keep_params": study.keep_params or args.save_params,
    }
    tasks = [
        contents.task(case, name, trial, **options)
        for case, names in wanted.items()
        for trial in range(args.trials)  # the algorithms of a trial share its data
        for name in (names if args.jobs == 1 else longest_first(study.cases[case], names))
    ]
    return tasks, folder, lambda: conclude.conclude_table(contents, folder, command)


def longest_first(experiment, names):
    """Return the algorithms, those with most steps first: at the end no process waits for long."""
    return sorted(names, key=lambda name: -experiment.algorithms[name].settings.steps)


def prepare_search(args, command):
    """Return what `execute` needs to search for settings, in each case of the study."""
    _checks.count("--budget", args.budget, 1, MOST)
    if args.best is not None:
        _checks.count("--best", args.best, 1)
    study, algorithms = prepare(args)
    rows = search_space.rows(study, algorithms, args.algorithms is not None, args.budget, args.seed)
    variants = {
        row.name: [
            resolve(search_space.with_setting(row.experiment.config, row.algorithm, v))
            for v in row.drawn
        ]
        for row in rows
    }
    for row in rows:
        search_space.check_overrides(row, args.set)
        drawn = [variant.algorithms[row.algorithm] for variant in variants[row.name]]
        check_data(args, row.experiment, drawn)
    declared = [experiment.config.get("search", {}) for experiment in study.cases.values()]
    names = [row.name for row in rows]
    first, of_all = search_space.FIRST_TRIAL, args.trials if args.best is None else 1
    searched = search_space.searched(study, args.seed)
    digits = searched.hash(args.seed, args.dtype, args.engine, search=declared)
    folder, contents = open_folder(
        args, "search-", study, digits, names, of_all, first, args.budget
    )
    settings = {row.name: range(args.budget) for row in rows}
    if args.best is not None:
        records = tables.by_row(folder.summaries(contents))
        settings = {
            row.name: search.best(row, records.get(row.name, []), args.best, first) for row in rows
        }
    options = {"audit_every": args.audit_every, "keep_params": args.save_params}
    tasks = [
        contents.task(row.experiment.case, row.algorithm, trial, setting, **options)
        for trial in range(first, first + args.trials)  # those of a trial share its data
        for row in rows
        for setting in settings[row.name]
    ]
    return tasks, folder, lambda: conclude.conclude_search(contents, folder, command)
