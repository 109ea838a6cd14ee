"""Running trials: one (algorithm, seed) after another, each stored as soon as it is finished."""

import itertools
import json
import os
import platform
import time
from importlib.metadata import version

import numpy as np
import scipy

from metairm_np import blas, fast, storage
from metairm_np.checkpoint import Checkpoint
from metairm_np.fast.sums import THREAD_VARIABLES
from metairm_np.seeds import child
from metairm_np.tasks import Task, carry_out, in_processes
from metairm_np.training import ENGINES, train
from metairm_np.version import __version__

VARIABLES = (*THREAD_VARIABLES, "OPENBLAS_CORETYPE")  # of the environment, that the results may depend on


def trial_path(folder, algorithm, trial):
    """Give the path of a trial's JSON."""
    return folder / "trials" / f"{algorithm}-{trial:03d}.json"


def finished(folder, algorithm, trial):
    """Give the stored record of a trial, or None if there is none; a damaged one is set aside."""
    return storage.read_record(trial_path(folder, algorithm, trial))


def stored(folder, algorithms):
    """Give the records of all finished trials of `algorithms` in `folder`."""
    records = []
    for algorithm in algorithms:
        for path in sorted((folder / "trials").glob(f"{algorithm}-[0-9]*.json")):
            record = finished(folder, algorithm, int(path.stem.rpartition("-")[2]))
            records += [record] if record else []
    return records


@np.errstate(over="ignore", invalid="ignore")  # a trial that diverges says so in its record
def run_trial(experiment, algorithm, data, seed, trial, *, engine="fast", audit_every=50, on_step=None, checkpoint=None):
    """Train `algorithm` on the environments `data` and give the record of the trial, a dict fit for JSON.

    `seed` is the run's; the trial's own is its child number `trial`, the same for all algorithms. If there is a checkpoint, the
    trial goes on from there; "seconds" are then those since.
    """
    settings, module = experiment.algorithms[algorithm].settings, ENGINES[engine]
    data = data.greyscale() if settings.greyscale else data
    test = [data.test(p_e) for p_e in experiment.test_p]
    watched = [env for env in test if env.p_e in experiment.table_p]
    began = time.perf_counter()
    result = train(
        settings, data.train, data.validation, child(seed, trial), n_classes=data.n_classes, test=watched, engine=module,
        audit_every=audit_every, on_step=on_step, checkpoint=checkpoint,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    return {
        "algorithm": algorithm,
        "trial": trial,
        "seed": seed,
        "status": result.status,
        "message": result.message,
        "step": result.step,
        "last_step": result.last_step,
        "seconds": round(seconds, 3),
        "engine": engine,
        "audit": result.audit,
        "machine": machine(),
        "watched_p_e": experiment.table_p,
        "train_accuracy": [module.accuracy(result.params, env) for env in data.train],
        "test_accuracy": {f"{env.p_e:g}": module.accuracy(result.params, env) for env in test},
        "history": result.history,
    }


def run(
    experiment, algorithms, trials, seed, dtype, folder, *, engine="fast", audit_every=50, checkpoint_every=None, jobs=1,
    on_trial=None, on_record=None, on_failure=None, on_interrupt=lambda: None,
):  # fmt: skip
    """Run trials 0..`trials`-1 of each algorithm that `folder` does not hold yet, and store each as it ends.

    Parameters
    ----------
    experiment : Experiment
    algorithms : list of str
    trials, seed : int
    dtype : {"float32", "float64"}
    folder : path
    engine : {"fast", "spec"}, default "fast"
    audit_every : int, default 50
        See `metairm_np.training.train`.
    checkpoint_every : int, optional
        How many steps apart the state of a trial is stored; a trial that was cut short goes on from there, with the same bits.
    jobs : int >= 1, default 1
        How many processes run trials; 1 is this one.
    on_trial : callable(algorithm, trial), optional
        With one job, called before a trial; gives the `on_step` of its training.
    on_record : callable(record, new), optional
        Called with each record, whether it is new or was there before.
    on_failure : callable(task, error), optional
        With several jobs, called with each trial that raised an error; the others go on. None raises the error.
    on_interrupt : callable, optional
        With several jobs, called at the first Ctrl-C, after which what runs is finished.
    """
    config, pending = json.dumps(experiment.config), []
    for trial, algorithm in itertools.product(range(trials), algorithms):
        record = finished(folder, algorithm, trial)
        if record is None:
            path = trial_path(folder, algorithm, trial).with_suffix(".checkpoint.npz")
            checkpoint = checkpoint_every and Checkpoint(path, checkpoint_every)
            pending.append(Task(config, algorithm, trial, seed, dtype, engine, audit_every, checkpoint))
        elif on_record:
            on_record(record, False)

    def store(task, record):
        storage.write_record(trial_path(folder, task.algorithm, task.trial), record)
        if task.checkpoint:
            task.checkpoint.remove()
        if on_record:
            on_record(record, True)

    if jobs == 1:
        for task in pending:
            store(task, carry_out(task, on_trial(task.algorithm, task.trial) if on_trial else None))
        return
    for task, future in in_processes(pending, jobs, on_interrupt):
        if future.exception() is None or on_failure is None:
            store(task, future.result())
        else:
            on_failure(task, future.exception())


def machine():
    """Give what the results may depend on besides the config: versions, BLAS, processor and threads."""
    built_with = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "metairm_np": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "autograd": version("autograd"),
        "scipy": scipy.__version__,
        "blas": f"{built_with.get('name', 'unknown')} {built_with.get('version', '')}".strip(),
        "blas_kernels": blas.kernels() or "unknown",
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": blas.cores(),
        "threads": fast.threads(),
        "thread_variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def _processor():
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
