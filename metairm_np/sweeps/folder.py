"""A run folder: what is finished, failed, under way or left.

It is kept so that commands may end at any moment and share it.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from metairm_np import _storage
from metairm_np.experiments.files import resolve, row_of

try:
    import fcntl
except ImportError:  # without such locks two commands may both run a trial, to the same result
    fcntl = None  # type: ignore[assignment]


def name_of(row: str, trial: int, setting: int | None = None) -> str:
    """Return the stem of the names of a trial's files."""
    return f"{row}-{trial:03d}" if setting is None else f"{row}-setting-{setting:05d}-{trial:03d}"


class Folder:
    """The files of a run folder.

    config.json and machine.json: what is run and where. plan.json: what commands have asked for.
    trials/NAME.json: a finished trial, with a checksum; NAME.params.npz: its parameters, if asked
    for; NAME.failed.json: why it failed; NAME.checkpoint.npz: its state, while it runs; *.damaged:
    what was found damaged and set aside.

    Parameters
    ----------
    path : path
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.trials = self.path / "trials"
        self._locks: Any = None

    def record_path(self, name: str) -> Path:
        """Return the path of a trial's record."""
        return self.trials / f"{name}.json"

    def checkpoint_path(self, name: str) -> Path:
        """Return the path of a trial's checkpoint."""
        return self.trials / f"{name}.checkpoint.npz"

    def params_path(self, name: str) -> Path:
        """Return the path of a trial's parameters."""
        return self.trials / f"{name}.params.npz"

    def failure_path(self, name: str) -> Path:
        """Return the path of the record of a trial's failure."""
        return self.trials / f"{name}.failed.json"

    def summary(self, name: str, with_params: bool = False) -> dict | None:
        """Return the record of a finished trial up to its test accuracies, or None.

        With `with_params` the trial counts as finished only if its parameters are there, too. What
        is damaged is set aside.
        """
        record = _storage.read_record(self.record_path(name), until="settings")
        if record and with_params and not self._holds_params(name, record):
            return None
        return record

    def _holds_params(self, name, record):
        try:
            content = self.params_path(name).read_bytes()
        except FileNotFoundError:
            return False
        if hashlib.sha256(content).hexdigest() == record.get("params_sha256"):
            return True
        _storage.set_aside(self.params_path(name))
        return False

    def names(self) -> list[str]:
        """Return the names of all trials that have a record."""
        return sorted(
            path.stem
            for path in self.trials.glob("*.json")
            if not path.name.endswith(".failed.json")
        )

    def history(self, name: str) -> list[dict]:
        """Return the history of a finished trial."""
        return _storage.read_record(self.record_path(name))["history"]

    def params(self, name: str) -> list:
        """Return the parameters that a trial has ended with, a list of (W, b)."""
        with np.load(self.params_path(name)) as file:
            return [(file[f"W{layer}"], file[f"b{layer}"]) for layer in range(len(file.files) // 2)]

    def summaries(self, rows: Iterable[str]) -> list[dict]:
        """Return the summaries of all finished trials of `rows`, in the order of their names."""
        records = [self.summary(name) for name in self.names()]
        return [
            r for row in rows for r in records if r and row_of(r["algorithm"], r["case"]) == row
        ]

    def failures(self) -> list[dict]:
        """Return the records of the trials that failed last time."""
        found = (_storage.read_json(path) for path in sorted(self.trials.glob("*.failed.json")))
        return [record for record in found if record]

    def store(self, name: str, record: dict, params: list | None = None) -> None:
        """Write the record of a finished trial, and before it its parameters, if there are any."""
        if params is not None:
            content = npz(params)
            _storage.write(self.params_path(name), content)
            record = {"params_sha256": hashlib.sha256(content).hexdigest(), **record}
        _storage.write_record(self.record_path(name), record)
        self.failure_path(name).unlink(missing_ok=True)
        self.checkpoint_path(name).unlink(missing_ok=True)

    def fail(self, name: str, record: dict) -> None:
        """Write why a trial failed; the next command tries it again."""
        _storage.write_json(self.failure_path(name), record, indent=1)

    def adopt(self, tasks) -> None:
        """Copy finished trials of other run folders beside this one that are those of `tasks`.

        Experiments share trials, such as the full method in a table of ablations; they are carried
        out once. What decides a trial's bits is in `key_of`.

        Parameters
        ----------
        tasks : list of Task
            Those of a search are left alone.
        """
        wanted = [t for t in tasks if t.setting is None and not self.record_path(t.name).exists()]
        beside = self._rows_beside() if wanted else {}
        for task in wanted:
            key = key_of(task.config, task.algorithm, task.seed, task.dtype, task.engine)
            for other, row in beside.get(key, []):
                name = name_of(row, task.trial)
                if other.summary(name, task.keep_params):
                    record = {
                        **_storage.read_record(other.record_path(name)),
                        "name": task.name,
                        "case": task.case,
                        "algorithm": task.algorithm,
                        "settings": json.loads(task.config)["algorithms"][task.algorithm],
                    }
                    for made_anew in ("params_sha256", "crc32"):
                        record.pop(made_anew, None)
                    self.store(task.name, record, other.params(name) if task.keep_params else None)
                    break

    def _rows_beside(self):
        """Return the rows of other run folders beside this one: by key a list of (Folder, row)."""
        found = {}
        for path in sorted(self.path.parent.glob("*/config.json")):
            if path.parent == self.path or path.parent.name.startswith("search-"):
                continue
            config = _storage.read_json(path) or {}
            with suppress(KeyError, TypeError, ValueError):  # made by a release with other settings
                for case, one in config["cases"].items():
                    text, other = json.dumps(one), Folder(path.parent)
                    for name in one["algorithms"]:
                        key = key_of(text, name, *(config[k] for k in ("seed", "dtype", "engine")))
                        found.setdefault(key, []).append((other, row_of(name, case)))
        return found

    def plan(
        self, rows: Iterable[str], first: int, trials: int, settings: int | None = None
    ) -> None:
        """Add to plan.json what a command is about to do.

        Parameters
        ----------
        rows : list of str
        first, trials : int
            The number of the first trial, and how many there are.
        settings : int, optional
            In a search, how many settings are tried.
        """
        with self.claims():
            self._lock("plan.json", wait=True)
            plan = self.planned()
            for row in rows:
                old = plan.get(row, {})
                plan[row] = {
                    "first": first,
                    "trials": max(trials, old.get("trials", 0)),
                    "settings": None,
                }
                if settings is not None:
                    plan[row]["settings"] = max(settings, old.get("settings", 0))
            _storage.write_json(self.path / "plan.json", plan)

    def planned(self) -> dict:
        """Return what commands have asked for, a dict of row to first, trials and settings."""
        return _storage.read_json(self.path / "plan.json") or {}

    def planned_names(self, row: str) -> list[str]:
        """Return the names of all trials of a row that commands have asked for."""
        plan = self.planned()[row]
        settings = [None] if plan["settings"] is None else range(plan["settings"])
        trials = range(plan["first"], plan["first"] + plan["trials"])
        return [name_of(row, trial, setting) for setting in settings for trial in trials]

    @contextmanager
    def claims(self) -> Iterator[None]:
        """Within, `claim` keeps trials from other commands.

        Whatever ends this process ends its claims.
        """
        self.trials.mkdir(parents=True, exist_ok=True)
        with open(self.path / ".claims", "ab") as self._locks:
            try:
                yield
            finally:
                self._locks = None

    def claim(self, name: str) -> bool:
        """Return whether the trial is ours now: False if a command in another process has it."""
        return self._lock(name)

    def release(self, name: str) -> None:
        """End our claim to a trial."""
        if fcntl:
            fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, _byte(name))

    def _lock(self, name, wait=False):
        """Lock the byte of .claims that belongs to `name`."""
        if fcntl:
            with suppress(BlockingIOError, PermissionError):
                fcntl.lockf(
                    self._locks, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, _byte(name)
                )
                return True
        return not fcntl

    @contextmanager
    def reading_claims(self) -> Iterator[Callable[[str], bool]]:
        """Return a function that tells whether another process runs the trial of a name."""
        try:
            with open(self.path / ".claims", "r+b") as self._locks:
                yield self._is_claimed
        except (FileNotFoundError, PermissionError):
            yield lambda name: False
        finally:
            self._locks = None

    def _is_claimed(self, name):
        if self.claim(name):
            self.release(name)
            return False
        return True


@lru_cache(maxsize=1024)
def key_of(config, algorithm, seed, dtype, engine):
    """Return what decides a trial's results but its number: data, tests, settings, seed, engine."""
    experiment = resolve(json.loads(config))
    nameless = {"": experiment.algorithms[algorithm]}  # whatever its name in the table
    return replace(experiment, algorithms=nameless).hash(seed, dtype, engine)


def _byte(name):
    """Return the place in .claims that is locked for `name`; the file itself stays empty."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big") % 2**55


def npz(params: list) -> bytes:
    """Return parameters as an npz file with W0, b0, W1, b1, ..., the same bytes each day."""
    file = io.BytesIO()
    np.savez(
        file,
        **{
            f"{letter}{layer}": part
            for layer, pair in enumerate(params)
            for letter, part in zip("Wb", pair)
        },
    )
    return file.getvalue()
