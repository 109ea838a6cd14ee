"""Local processes that carry out trials, and outlive the death of one of them."""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from metairm_np import blas
from metairm_np.fast.sums import THREAD_VARIABLES
from metairm_np.trials import carry_out

DEATHS = 3  # of a pool's workers without a single finished trial between


class WorkersDiedError(RuntimeError):
    """Worker processes die again and again, without finishing a trial."""


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


def begin_worker():
    """Ignore Ctrl-C, which a terminal sends to all processes, and end with the parent, whatever ends that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent():
    """Wait for the parent's end, and end this process."""
    multiprocessing.parent_process().join()
    os._exit(1)


def in_processes(tasks, jobs, on_interrupt=lambda: None):
    """Carry out tasks in `jobs` fresh processes, and give (task, future) as each is done, whichever is first.

    A worker that is killed takes its pool with it; a new pool goes on with what is left. At the first Ctrl-C what runs is
    finished and nothing else begun, then, or at the second one, KeyboardInterrupt is raised.

    Raises
    ------
    WorkersDiedError
        If workers die three times without a single trial finished between.
    """
    left, deaths = list(tasks), 0
    while left and deaths < DEATHS:
        deaths += 1
        with threads_for(jobs):
            context = multiprocessing.get_context("spawn")
            pool = ProcessPoolExecutor(jobs, context, initializer=begin_worker)
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
        raise WorkersDiedError(f"worker processes died {DEATHS} times in a row (killed, or out of memory); try fewer --jobs")
