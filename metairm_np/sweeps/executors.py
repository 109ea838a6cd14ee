"""Where trials are carried out: in this process, in local processes, on Dask, or anywhere else.

Each public function here returns `Workers`, the one interface of a sweep. `given` takes any
`concurrent.futures.Executor`.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from metairm_np.fast import _blas
from metairm_np.fast.sums import THREAD_VARIABLES
from metairm_np.sweeps.trial import WorkersError

PATIENCE = 60  # seconds in which a cluster must answer


@dataclass(frozen=True)
class Workers:
    """What carries out trials.

    Parameters
    ----------
    start : callable() -> context manager
        Of a pair: an Executor, and a function that says how many trials may be under way, or raises
        if the Executor has gone. The context is left with an exception to stop what runs, and is
        entered anew after workers have died.
    died : tuple of exception types
        What a trial raises whose worker died.
    """

    start: Callable[[], AbstractContextManager]
    died: tuple = (BrokenExecutor,)


class ThisProcess(Executor):
    """An Executor that carries out each trial at once.

    Parameters
    ----------
    on_trial : callable(task), optional
        Called before each trial; returns the `on_step` of its training.
    """

    def __init__(self, on_trial=lambda task: None):
        self.on_trial = on_trial

    def submit(self, call, task):
        """Return the finished future of call(task)."""
        future, on_step = Future(), self.on_trial(task)
        try:
            future.set_result(call(task, on_step) if on_step else call(task))
        except Exception as error:
            future.set_exception(error)
        return future


class Processes(ProcessPoolExecutor):
    """Processes that Ctrl-C does not reach, also while they begin: they start with it blocked."""

    def submit(self, *call, **keywords):
        """Return the future of a call."""
        if not hasattr(signal, "pthread_sigmask"):
            return super().submit(*call, **keywords)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            return super().submit(*call, **keywords)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def serial(on_trial: Callable = lambda task: None) -> Workers:
    """Return Workers that are this process.

    Parameters
    ----------
    on_trial : callable(task), optional
        Called before each trial; returns the `on_step` of its training, or None.

    Returns
    -------
    Workers
    """

    @contextmanager
    def start():
        yield ThisProcess(on_trial), lambda: 1

    return Workers(start)


def given(executor: Executor, jobs: int) -> Workers:
    """Return Workers that are somebody's Executor, which stays theirs.

    Parameters
    ----------
    executor : concurrent.futures.Executor
        Such as mpi4py's MPIPoolExecutor or loky's. Trials and their records must be able to travel
        to it by pickle.
    jobs : int
        How many trials may be under way.

    Returns
    -------
    Workers
    """

    @contextmanager
    def start():
        yield executor, lambda: jobs

    return Workers(start)


def processes(jobs: int) -> Workers:
    """Return Workers that are fresh processes of this machine, the cores shared out among them.

    Parameters
    ----------
    jobs : int
        How many.

    Returns
    -------
    Workers
    """

    @contextmanager
    def start():
        with threads_for(jobs):
            others = multiprocessing.active_children()
            pool = Processes(jobs, multiprocessing.get_context("spawn"), initializer=begin_worker)
            try:
                yield pool, lambda: jobs
            except BaseException:
                for process in multiprocessing.active_children():
                    if process not in others:
                        process.kill()
                raise
            finally:
                pool.shutdown(cancel_futures=True)

    return Workers(start)


def dask(address: str, jobs: int) -> Workers:
    """Return Workers of dask.distributed.

    Parameters
    ----------
    address : str
        "local" for a cluster of `jobs` processes on this machine, or a scheduler's, such as
        tcp://host:8786.
    jobs : int
        How many processes, if "local".

    Returns
    -------
    Workers

    Raises
    ------
    ImportError
        If dask.distributed is not installed.
    ValueError
        If `address` is neither.
    """
    if address != "local" and "://" not in address:
        raise ValueError(
            f"--dask is {address!r}; give local, or a scheduler's address such as tcp://host:8786"
        )
    try:
        import distributed
    except ImportError:
        raise ImportError(
            "--dask needs dask.distributed; pip install 'metairm-np[cluster]'"
        ) from None

    @contextmanager
    def start():
        with threads_for(jobs), _client(distributed, address, jobs) as client:
            executor = client.get_executor(pure=False)

            def room():
                if client.status != "running":
                    raise WorkersError("the connection to the Dask scheduler is lost")
                return max(1, sum(client.nthreads().values()))

            try:
                yield executor, room
            except BaseException:
                executor.shutdown(wait=False)
                raise

    return Workers(start, died=(BrokenExecutor, distributed.scheduler.KilledWorker))


@contextmanager
def _client(distributed, address, jobs):
    """Connect to a Dask scheduler that has workers, or start one."""
    if address == "local":
        try:
            cluster = distributed.LocalCluster(
                n_workers=jobs,
                threads_per_worker=1,
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
                host="127.0.0.1",
            )
        except (OSError, RuntimeError) as error:
            raise WorkersError(
                f"Dask could not start {jobs} workers ({error}); try --jobs {jobs} without --dask"
            ) from None
        with cluster, distributed.Client(cluster) as client:
            _ignore_interrupts(distributed, client)
            yield client
        return
    try:
        client = distributed.Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise WorkersError(
            f"no Dask scheduler answers at {address} ({error}); start one with: dask scheduler"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise WorkersError(
                f"the Dask scheduler at {address} has no workers; "
                f"start some with: dask worker --nthreads 1 {address}"
            ) from None
        yield client


def _ignore_interrupts(distributed, client):
    """Make Dask's workers on this machine ignore Ctrl-C, which a terminal sends to all."""

    class Deaf(distributed.WorkerPlugin):
        def setup(self, worker):
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    client.register_plugin(Deaf())


@contextmanager
def threads_for(jobs):
    """Set the thread variables so that `jobs` processes that start within share the cores."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(max(1, _blas.cores() // jobs))))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def begin_worker():
    """Ignore Ctrl-C, which a terminal sends to all, and end with the parent, whatever ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent():
    """Wait for the parent's end, and end this process."""
    multiprocessing.parent_process().join()
    os._exit(1)
