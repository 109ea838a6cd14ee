"""Running the trials of an experiment, each stored as soon as it is finished."""

import itertools
import json

from metairm_np import storage
from metairm_np.checkpoint import Checkpoint
from metairm_np.processes import in_processes
from metairm_np.trials import Task, carry_out


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
