"""One trial: a small value that any process can carry out, and the record that comes of it."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version

import numpy as np

from metairm_np import fast
from metairm_np._seeds import child
from metairm_np._version import __version__
from metairm_np.analysis.decomposition import decomposition, decomposition_over, is_painted
from metairm_np.experiments import tested
from metairm_np.experiments.files import Experiment, make_data, resolved, row_of
from metairm_np.fast import _blas
from metairm_np.fast.sums import THREAD_VARIABLES
from metairm_np.sweeps.identity import WHICH, data_checksum, settings_hash
from metairm_np.sweeps.plan import name_of
from metairm_np.training.checkpoint import Checkpoint
from metairm_np.training.clock import Clock
from metairm_np.training.engines import ENGINES, risks_and_accuracies
from metairm_np.training.loop import RunOptions, train

VARIABLES = (*THREAD_VARIABLES, "OPENBLAS_CORETYPE")  # that the results may depend on
# autograd's tracing is not made for threads, and a worker may have several
ONE_AT_A_TIME = threading.Lock()


class WorkersError(RuntimeError):
    """What should carry out trials cannot."""


@dataclass(frozen=True, slots=True)
class Task:
    """What decides one trial, and what to keep of it.

    It is small: whoever carries it out makes the data.

    Parameters
    ----------
    config : str
        The experiment's config as JSON.
    algorithm : str
    case : str
        The experiment's among the cases of its study, "" if there is only one.
    trial : int
        The trial's number.
    seed : int
        The run's.
    dtype : {"float32", "float64"}
    engine : {"fast", "spec"}
    audit_every : int
        See `metairm_np.training.train`.
    setting : int, optional
        In a search, the number of the setting that is tried.
    checkpoint : Checkpoint, optional
        Where its state is kept; `metairm_np.sweeps.run` adds it.
    keep_params : bool
        Whether the final parameters are wanted, too.
    version : str
        The release of metairm_np that may carry it out.
    data_checksum : str
        Of the files that its data come from, as `tasks_of` finds it; "" for data made up.
    """

    config: str
    algorithm: str
    case: str
    trial: int
    seed: int = 0
    dtype: str = "float32"
    engine: str = "fast"
    audit_every: int = 50
    setting: int | None = None
    checkpoint: Checkpoint | None = None
    keep_params: bool = False
    version: str = __version__
    data_checksum: str = ""

    @property
    def identity(self) -> dict:
        """What its record must say of itself to be taken for it, by `identity.KEYS`."""
        decides = (self.algorithm, self.seed, self.dtype, self.engine)
        which = {key: getattr(self, key) for key in (*WHICH, "data_checksum")}
        return {**which, "settings_hash": settings_hash(self.config, *decides)}

    @property
    def name(self) -> str:
        """Return the stem of its files' names."""
        return name_of(self.row, self.trial, self.setting)

    @property
    def row(self) -> str:
        """The row of the study's tables that it belongs to."""
        return row_of(self.algorithm, self.case)


def tasks_of(
    experiment: Experiment, algorithms: Iterable[str], trials: Iterable[int], **fields
) -> list[Task]:
    """Return the tasks of an experiment, the algorithms of a trial together: they share its data.

    Parameters
    ----------
    experiment : Experiment
    algorithms : iterable of str
    trials : iterable of int
        Their numbers.
    **fields
        Other fields of each `Task`, such as `seed`, `dtype` and `keep_params`.

    Returns
    -------
    list of Task
    """
    config, algorithms = json.dumps(experiment.config), list(algorithms)
    if "data_checksum" not in fields:
        fields["data_checksum"] = data_checksum(json.dumps(experiment.config["environment"]))
    return [
        Task(config, algorithm, experiment.case, trial, **fields)
        for trial in trials
        for algorithm in algorithms
    ]


@lru_cache(maxsize=1)
def data_of(environment, seed, trial, dtype):
    """Return the data of a trial, which its algorithms and settings share."""
    return make_data(json.loads(environment), child(seed, trial), dtype)


def carry_out(task, on_step=None):
    """Run a trial; return its record and, if the task wants them, its parameters, or else None.

    Raises
    ------
    WorkersError
        If this is not the release of metairm_np that the task is for, or has other data.
    """
    if task.version != __version__:
        raise WorkersError(
            f"a worker has metairm_np {__version__}, this command {task.version}; "
            "install the same release everywhere"
        )
    with ONE_AT_A_TIME:
        experiment, clock = resolved(task.config), Clock()
        environment = json.dumps(experiment.config["environment"])
        with clock.on("data"):
            data = data_of(environment, task.seed, task.trial, task.dtype)
        if data.checksum != task.data_checksum:
            raise WorkersError(
                f"a worker's data have the checksum {data.checksum!r}, those of this command "
                f"{task.data_checksum!r}; give both the same files"
            )
        record, params = run_trial(
            experiment,
            task.algorithm,
            data,
            task.seed,
            task.trial,
            task.engine,
            clock,
            audit_every=task.audit_every,
            on_step=on_step,
            checkpoint=task.checkpoint,
        )
    return {**task.identity, **record}, params if task.keep_params else None


@np.errstate(over="ignore", invalid="ignore")  # a trial that diverges says so in its record
def run_trial(
    experiment,
    algorithm,
    data,
    seed,
    trial,
    engine="fast",
    clock=None,
    **options,
):
    """Train `algorithm` on the environments `data`; return the trial's record and the parameters.

    The record is a dict fit for JSON; "reading", in it and in its history, is the `Decomposition`
    of images in colour. `seed` is the run's; the trial's own is its child number `trial`, the same
    for all algorithms. `options` are those of `RunOptions`; if there is a checkpoint, the trial
    goes on from there, and "seconds" are then those since; "seconds_of" says where they and those
    of `clock` went.
    """
    settings, module = experiment.algorithms[algorithm].settings, ENGINES[engine]
    clock = clock or Clock()
    with clock.on("data"):
        data = data.greyscale() if settings.greyscale else data
        envs, validation = data.train, data.validation
        test = {name: data.test(name) for name in experiment.test_p}
    watched = [test[name] for name in experiment.table_p]
    last = watched[-1]
    painted, colours = is_painted(last, data.n_classes), data.in_each_colour(last)

    def reading(params):
        """Return what the model reads of the samples in the last of the watched environments."""
        if painted:
            return {"reading": decomposition(params, last)._asdict()}
        return {"reading": decomposition_over(params, colours, last.y)._asdict()} if colours else {}

    began = time.perf_counter()
    result = train(
        settings,
        envs,
        validation,
        child(seed, trial),
        n_classes=data.n_classes,
        test=watched,
        run=RunOptions(engine=module, observe=reading, **options),
    )
    seconds = time.perf_counter() - began
    clock.add(result.seconds)
    with clock.on("evaluation"):
        risk, accuracy = risks_and_accuracies(module, result.params, validation)
        evaluated = {
            "train_accuracy": [module.accuracy(result.params, env) for env in envs],
            "validation_risk": risk,
            "validation_accuracy": accuracy,
            "test_accuracy": {
                tested.key(name): module.accuracy(result.params, env) for name, env in test.items()
            },
            **reading(result.params),
        }
    record = {
        "status": result.status.value,
        "message": result.message,
        "step": result.step,
        "last_step": result.last_step,
        "seconds": round(seconds, 3),
        "seconds_of": clock.rounded(),
        "audit": result.audit,
        "watched_p_e": experiment.table_p,
        **evaluated,
        "settings": experiment.config["algorithms"][algorithm],
        **data.about,
        "machine": machine(),
        "history": result.history,
    }
    return record, result.params


def machine():
    """Return what results may depend on besides the config: versions, BLAS, processor, threads."""
    built_with = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "metairm_np": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "autograd": version("autograd"),
        "scipy": version("scipy"),
        "blas": f"{built_with.get('name', 'unknown')} {built_with.get('version', '')}".strip(),
        "blas_kernels": _blas.kernels() or "unknown",
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": _blas.cores(),
        "threads": fast.threads(),
        "thread_variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def _processor():
    try:
        with open("/proc/cpuinfo") as file:
            return next(
                line.split(":", 1)[1].strip() for line in file if line.startswith("model name")
            )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
