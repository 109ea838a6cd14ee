"""Trials as small values that any process can carry out, and local processes that do."""

import json
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from metairm_np import blas
from metairm_np.checkpoint import Checkpoint
from metairm_np.experiments import resolve
from metairm_np.fast.sums import THREAD_VARIABLES
from metairm_np.seeds import child

DEATHS = 3  # of a pool's workers without a single finished trial between


@dataclass(frozen=True)
class Task:
    """What decides one trial. It is small: a worker makes the data itself.

    Parameters
    ----------
    config : str
        The experiment's config as JSON.
    algorithm : str
    trial, seed : int
        The trial's number, and the seed of the run.
    dtype, engine : str
    audit_every : int
    checkpoint : Checkpoint, optional
    """

    config: str
    algorithm: str
    trial: int
    seed: int
    dtype: str
    engine: str = "fast"
    audit_every: int = 50
    checkpoint: Checkpoint | None = None


@lru_cache(maxsize=1)
def experiment_of(config):
    """Give the Experiment of a config."""
    return resolve(json.loads(config))


@lru_cache(maxsize=1)
def data_of(config, seed, trial, dtype):
    """Give the data of a trial, which its algorithms share."""
    return experiment_of(config).data(child(seed, trial), dtype)


def carry_out(task, on_step=None):
    """Run a trial and give its record; see `metairm_np.sweep.run_trial`."""
    from metairm_np.sweep import run_trial

    data = data_of(task.config, task.seed, task.trial, task.dtype)
    return run_trial(
        experiment_of(task.config), task.algorithm, data, task.seed, task.trial, engine=task.engine,
        audit_every=task.audit_every, on_step=on_step, checkpoint=task.checkpoint,
    )  # fmt: skip


# ---- local processes ---------------------------------------------------------------------------------------------------


@contextmanager
def threads_for(jobs):
    """Set the thread variables so that `jobs` processes that start within share the cores."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(max(1, blas.cores() // jobs))))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@contextmanager
def interrupts(first):
    """Call `first` at the first Ctrl-C, raise KeyboardInterrupt at the second; give the list of those that came."""
    came = []

    def handle(*_):
        came.append(True)
        if len(came) > 1:
            raise KeyboardInterrupt
        first()

    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)


def leave_interrupts_to_the_parent():
    """Ignore Ctrl-C, which a terminal sends to all processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def in_processes(tasks, jobs, on_interrupt=lambda: None):
    """Carry out tasks in `jobs` fresh processes, and give (task, future) as each is done, whichever is first.

    A worker that is killed takes its pool with it; a new pool goes on with what is left. At the first Ctrl-C what runs is
    finished and nothing else begun, then, or at the second one, KeyboardInterrupt is raised.

    Raises
    ------
    OSError
        If workers die three times without a single trial finished between.
    """
    left, deaths = list(tasks), 0
    while left and deaths < DEATHS:
        deaths += 1
        with threads_for(jobs):
            context = multiprocessing.get_context("spawn")
            pool = ProcessPoolExecutor(jobs, context, initializer=leave_interrupts_to_the_parent)
            futures = {pool.submit(carry_out, task): task for task in left}

            def stop(futures=futures):
                on_interrupt()
                for future in futures:
                    future.cancel()

            try:
                with interrupts(stop) as came:
                    for future in as_completed(futures):
                        if not future.cancelled() and not isinstance(future.exception(), BrokenProcessPool):
                            left.remove(futures[future])
                            deaths = 0
                            yield futures[future], future
                pool.shutdown()
            except BaseException:  # the second Ctrl-C, or the caller has stopped listening
                for process in multiprocessing.active_children():
                    process.kill()
                pool.shutdown(cancel_futures=True)
                raise
            if came:
                raise KeyboardInterrupt
    if left:
        raise OSError(f"worker processes died {DEATHS} times in a row (killed, or out of memory); try fewer --jobs")
