"""Running trials on any executor, whatever dies on the way; each is stored as soon as it ends."""

from __future__ import annotations

import signal
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, wait
from contextlib import contextmanager
from dataclasses import replace

from metairm_np.experiments.files import row_of
from metairm_np.sweeps.executors import Workers, serial
from metairm_np.sweeps.folder import Folder
from metairm_np.sweeps.trial import Task, WorkersError, carry_out
from metairm_np.training import Status
from metairm_np.training.checkpoint import Checkpoint

DEATHS = 4  # of its worker, after which a trial has failed; from the third on it ran alone
GIVE_UP = 8  # times that workers die before any trial ends
PATIENCE = 5  # seconds until the workers are asked whether they are still there
POLL = 0.5  # seconds between two looks at trials that another command runs


class Listener:
    """What wants to hear how a sweep goes; to be overridden."""

    def reused(self, record):
        """Take the summary of a trial that was finished before."""

    def begun(self, task):
        """Take a trial that is about to run."""

    def lost(self, task):
        """Take a trial whose worker has died, or one beside it; it will run again."""

    def finished(self, record):
        """Take the record of a trial that is finished and stored."""

    def failed(self, record):
        """Take the record of a trial that has failed: its message and traceback."""

    def waiting(self, n):
        """Take that only `n` trials are left, which another command runs."""

    def interrupted(self):
        """Take that Ctrl-C was pressed, and that what runs is finished."""


class Estimate:
    """How long a sweep still takes, learnt by row of the tables from trials that are finished.

    Parameters
    ----------
    left : dict
        Of each row, the number of trials that are not finished.
    """

    def __init__(self, left):
        self.left, self.seconds, self.finished = Counter(left), Counter(), Counter()

    def take(self, record):
        """Take in a record, of this sweep or an earlier one."""
        row = row_of(record["algorithm"], record["case"])
        self.left[row] -= 1
        self.seconds[row] += record["seconds"]
        self.finished[row] += 1

    def drop(self, row):
        """Take in that a trial of a row has failed."""
        self.left[row] -= 1

    def remaining(self, jobs):
        """Return the seconds that `jobs` workers will need, or None if nothing is known.

        A row that is new takes as long as the others do.
        """
        if not self.finished:
            return None
        overall = self.seconds.total() / self.finished.total()
        each = {
            name: self.seconds[name] / self.finished[name] if self.finished[name] else overall
            for name in self.left
        }
        return sum(max(n, 0) * each[name] for name, n in self.left.items()) / jobs


def run(
    tasks: Iterable[Task],
    folder: Folder,
    workers: Workers | Callable[[int], Workers] | None = None,
    listener: Listener | None = None,
    checkpoint_every: int | None = None,
    call: Callable = carry_out,
) -> None:
    """Carry out the tasks that `folder` does not hold yet, and store each as it ends.

    At the first Ctrl-C what runs is finished and nothing else begun; then, or at the second one,
    KeyboardInterrupt is raised.

    Parameters
    ----------
    tasks : iterable of Task
        With names that differ.
    folder : Folder
    workers : Workers or callable(n) -> Workers, optional
        Such as `processes(2)`, or a function of the number of trials that are left; default:
        `serial()`, this process.
    listener : Listener, optional
        What hears how it goes.
    checkpoint_every : int, optional
        How many steps apart the state of each trial is stored; a trial that was cut short goes on
        from there, with the same bits. Default: never, and it starts again.
    call : callable, optional
        What carries out a task; default `carry_out`, which trains.

    Raises
    ------
    WorkersError
        If workers die again and again, or cannot carry out trials.
    OSError
        If a file cannot be read or written, here or by a worker.
    """
    if checkpoint_every is not None:
        tasks = [_checkpointed(task, folder, checkpoint_every) for task in tasks]
    _Sweep(folder, workers or serial(), listener or Listener(), call).run(tasks)


def _checkpointed(task, folder, every):
    path = folder.checkpoint_path(task.name).absolute()  # a worker may be in another directory
    return replace(task, checkpoint=Checkpoint(path, every))


class _Sweep:
    """The trials of a sweep by what has become of them."""

    def __init__(self, folder, workers, listener, call):
        self.folder, self.workers, self.listener, self.call = folder, workers, listener, call
        self.fresh = deque()  # left
        self.suspects = deque()  # their workers died more than once
        self.elsewhere = deque()  # another command runs them
        self.running = {}  # future: task
        self.deaths = Counter()  # of a trial's workers, by its name
        self.starts = 0  # of executors since a trial ended
        self.interrupted = False

    def run(self, tasks):
        """Look up what is finished, and carry out the rest."""
        tasks = list(tasks)
        with self.folder.claims(), interrupts(self.interrupt):
            finished = self.folder.finished(tasks)
            for record in finished.values():
                self.listener.reused(record)
            self.fresh.extend(task for task in tasks if task.name not in finished)
            if callable(self.workers):
                self.workers = self.workers(len(self.fresh))
            while self.left() and not self.interrupted:
                if self.starts == GIVE_UP:
                    raise WorkersError(
                        f"workers died {GIVE_UP} times in a row (killed, or out of memory); "
                        "try fewer --jobs"
                    )
                self.starts += 1
                with self.workers.start() as (executor, room):
                    self.use(executor, room)
        if self.left():
            raise KeyboardInterrupt

    def left(self):
        """Return whether any trial is left."""
        return bool(self.fresh or self.suspects or self.elsewhere)

    def interrupt(self):
        """Begin no more trials."""
        self.interrupted = True
        self.listener.interrupted()

    def is_finished(self, task):
        """Return whether a trial is stored, and tell the listener if so."""
        record = self.folder.summary(task.name, task.identity, task.keep_params)
        if record:
            self.listener.reused(record)
        return record is not None

    def use(self, executor, room):
        """Carry out trials until none may begin, or the executor is broken."""
        usable = True
        while usable and self.begin(executor, room()):
            usable = self.end(wait(self.running, PATIENCE, FIRST_COMPLETED).done)
        self.end(wait(self.running).done)

    def begin(self, executor, room):
        """Begin as many trials as there is room for; return whether any is under way."""
        while not self.interrupted and len(self.running) < room:
            task = self.next()
            if task is None and self.elsewhere and not self.running:
                self.listener.waiting(len(self.elsewhere))
                time.sleep(POLL)
                self.fresh, self.elsewhere = self.elsewhere, deque()
                continue
            if task is None:
                break
            self.listener.begun(task)
            try:
                self.running[executor.submit(self.call, task)] = task
            except BrokenExecutor:
                self.fresh.appendleft(task)
                self.listener.lost(task)
                return False
        return bool(self.running)

    def next(self):
        """Return a trial that may begin now and that no other command has, or None.

        Those whose workers died begin alone.
        """
        while self.fresh:
            task = self.fresh.popleft()
            if not self.folder.claim(task.name):
                self.elsewhere.append(task)
            elif self.is_finished(task):  # by another command, since we looked
                self.folder.release(task.name)
            else:
                return task
        return self.suspects.popleft() if self.suspects and not self.running else None

    def end(self, futures):
        """Store what has ended, and return whether the executor is usable.

        Then raise what the sweep cannot go on with.
        """
        usable, trouble = True, None
        for future in futures:
            task = self.running.pop(future)
            try:
                record, params = future.result()
                self.folder.store(task.name, record, params)
            except self.workers.died as error:
                usable = usable and not isinstance(error, BrokenExecutor)
                self.lose(task)
                continue
            except CancelledError:
                trouble = WorkersError("the connection to the workers is lost")
            except (OSError, ImportError, WorkersError) as error:  # not the trial's fault
                trouble = error
            except Exception as error:
                trace = "".join(traceback.format_exception(error))
                self.fail(task, f"{type(error).__name__}: {error}", trace)
            else:
                self.listener.finished(record)
            self.starts = 0
            self.folder.release(task.name)
        if trouble:
            raise trouble
        return usable

    def lose(self, task):
        """Put a trial back whose worker died; the guilty one is found by running it alone."""
        self.deaths[task.name] += 1
        if self.deaths[task.name] == DEATHS:
            self.starts = 0
            self.fail(task, f"its worker process died {DEATHS} times (killed, or out of memory)")
            self.folder.release(task.name)
            return
        self.listener.lost(task)
        if self.deaths[task.name] == 1:
            self.fresh.append(task)
        else:
            self.suspects.appendleft(task)

    def fail(self, task, message, trace=""):
        """Record why a trial failed."""
        record = {
            "name": task.name,
            "algorithm": task.algorithm,
            "case": task.case,
            "trial": task.trial,
            "setting": task.setting,
            "status": Status.FAILED.value,
            "message": message,
            "traceback": trace,
        }
        self.folder.fail(task.name, record)
        self.listener.failed(record)


@contextmanager
def interrupts(first):
    """Within, call `first` at the first Ctrl-C and raise KeyboardInterrupt at the second."""

    def handle(*_):
        signal.signal(signal.SIGINT, stop)
        first()

    def stop(*_):
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
