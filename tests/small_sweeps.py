"""A sweep of a second or two, and what its records have in common whatever carried it out."""

import ctypes
import json
import os

from metairm_np import sweeps
from metairm_np.experiments.files import load

SMALL = [
    "n_per_env=60",
    "steps=30",
    "hidden=[4]",
    "p_e=[0.9]",
    "table=[0.9]",
    "environment.generator=synthetic_digits",
]
DROP_FROM_BOUNDING_SET, DAC_OVERRIDE = 24, 1  # of prctl and capabilities on Linux
ALGORITHMS = ["erm", "v_rex"]
OPTIONS = [*(part for text in SMALL for part in ("--set", text)), "--jobs", "1"]
SEARCH = ["search", "constant", *OPTIONS, *"--algorithms v_rex --budget 2 --trials 1".split()]


def experiment(*changes):
    return load("cmnist", [*SMALL, *changes])


def tasks(trials=3, changes=(), **options):
    return sweeps.tasks_of(experiment(*changes), ALGORITHMS, range(trials), **options)


def run(path, trials=3, workers=None, listener=None, checkpoint_every=None, **options):
    todo = tasks(trials, **options)
    sweeps.run(todo, sweeps.Folder(path), workers, listener, checkpoint_every)
    return records(path)


def records(path):
    """Return what is a pure function of settings and seed in each stored record."""
    found = {
        file.name: json.loads(file.read_text()) for file in sorted((path / "trials").glob("*.json"))
    }
    varies = ("seconds", "seconds_of", "crc32", "machine")
    return {
        name: {key: value for key, value in record.items() if key not in varies}
        for name, record in found.items()
    }


def no_root_rights():
    """Give up root's right to write anywhere, before a program begins."""
    if os.geteuid() == 0:
        assert ctypes.CDLL(None).prctl(DROP_FROM_BOUNDING_SET, DAC_OVERRIDE, 0, 0, 0) == 0


class Heard(sweeps.Listener):
    """Keeps what it hears as (what, trial's name)."""

    def __init__(self):
        self.all, self.failures, self.n_waiting = [], [], 0

    def reused(self, record):
        self.all.append(("reused", record["name"]))

    def begun(self, task):
        self.all.append(("begun", task.name))

    def lost(self, task):
        self.all.append(("lost", task.name))

    def finished(self, record):
        self.all.append(("finished", record["name"]))

    def failed(self, record):
        self.all.append(("failed", record["name"]))
        self.failures.append(record)

    def waiting(self, n):
        self.n_waiting = n

    def names(self, what):
        return [name for kind, name in self.all if kind == what]


def again(folder, **options):
    """Run two trials with their parameters again; return the names of those that it ran."""
    heard = Heard()
    run(folder.path, trials=2, listener=heard, keep_params=True, **options)
    return heard.names("begun")
