"""A run folder: what is finished, failed, under way or left.

It is kept so that commands may end at any moment and share it. Nothing in it is believed for its
name: a record is taken only if it is whole and says that it is the trial's.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from metairm_np import _storage
from metairm_np._storage import DamagedError
from metairm_np.experiments.files import row_of
from metairm_np.sweeps import claims
from metairm_np.sweeps.identity import EARLIER, mismatch
from metairm_np.sweeps.plan import NAME, is_plan, most_of, plan_of


class Folder:
    """The files of a run folder.

    config.json and machine.json: what is run and where. plan.json: what is asked for.
    trials/NAME.json: a finished trial, with a checksum; NAME.params.npz: its parameters, if asked
    for; NAME.failed.json: why it failed; NAME.checkpoint.npz: its state, while it runs; *.damaged,
    *.foreign, *.earlier: what was found to be so and set aside, which is logged.

    Parameters
    ----------
    path : path
    read_only : bool, default False
        Leave what cannot be used where it is.
    """

    def __init__(self, path: str | Path, read_only: bool = False):
        self.path = Path(path)
        self.trials = self.path / "trials"
        self.read_only = read_only
        self._claims: Any = None

    # ---- paths -----------------------------------------------------------------------------------

    def record_path(self, name: str) -> Path:
        """Return the path of a trial's record."""
        return self._path(name, "json")

    def checkpoint_path(self, name: str) -> Path:
        """Return the path of a trial's checkpoint."""
        return self._path(name, "checkpoint.npz")

    def params_path(self, name: str) -> Path:
        """Return the path of a trial's parameters."""
        return self._path(name, "params.npz")

    def failure_path(self, name: str) -> Path:
        """Return the path of the record of a trial's failure."""
        return self._path(name, "failed.json")

    def _path(self, name, kind):
        if not NAME.fullmatch(name):
            raise ValueError(
                f"a trial is called {name!r}, which goes into file names; give algorithms and "
                "cases names of letters, digits, '_' and '-'"
            )
        return self.trials / f"{name}.{kind}"

    def check(self) -> None:
        """Raise OSError if the folder, or the one in it, is a link to elsewhere."""
        for path in (self.path, self.trials):
            if path.is_symlink():
                raise OSError(
                    f"{path} is a symbolic link, which is not followed; put the folder itself there"
                )

    # ---- finished trials -------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Return the names of all trials that have a record, whatever it is worth."""
        return sorted(path.stem for path in self._records())

    def _records(self):
        return [
            path
            for path in self.trials.glob("*.json")
            if not path.name.endswith(".failed.json") and not path.name.startswith(".")
        ]

    def summary(
        self, name: str, identity: dict | None = None, with_params: bool = False
    ) -> dict | None:
        """Return the record of a finished trial up to its test accuracies, or None.

        Parameters
        ----------
        name : str
        identity : dict, optional
            What the record must say of itself, see `Task.identity`.
        with_params : bool, default False
            Whether the trial counts as finished only if its parameters are there, too.
        """
        why_not = partial(mismatch, identity=identity) if identity else lambda record: None
        return self._take(self.record_path(name), why_not, with_params, [])

    def finished(self, tasks) -> dict[str, dict]:
        """Return the summaries of those of `tasks` that are finished, by name."""
        earlier: list[Path] = []
        found = {
            task.name: self._take(
                self.record_path(task.name),
                partial(mismatch, identity=task.identity),
                task.keep_params,
                earlier,
            )
            for task in tasks
        }
        self._tell(earlier)
        return {name: record for name, record in found.items() if record}

    def summaries(self, contents) -> list[dict]:
        """Return the summaries of all finished trials, by row and then by name.

        Parameters
        ----------
        contents : Contents
            What the folder is for.
        """
        earlier: list[Path] = []
        records = [
            self._take(
                path,
                partial(contents.mismatch, name=path.stem),
                contents.study.keep_params,
                earlier,
            )
            for path in sorted(self._records())
        ]
        self._tell(earlier)
        return [
            r
            for row in contents.rows
            for r in records
            if r and row_of(r["algorithm"], r["case"]) == row
        ]

    def _take(self, path, why_not, with_params, earlier):
        """Return a summary, or None; set aside what is not the trial's, or list it as earlier.

        `why_not` returns why a record cannot be used.
        """
        try:
            record = _storage.read_record(path, until="settings")
        except FileNotFoundError:
            return None
        except (DamagedError, OSError) as error:
            self._set_aside(path, error)
            return None
        why = why_not(record)
        if why == EARLIER:
            earlier.append(path)
        elif why:
            self._set_aside(path, why, "foreign")
        elif not with_params or self._params_bytes(path.stem, record) is not None:
            return record
        return None

    def _set_aside(self, path, why, kind="damaged"):
        if self.read_only:
            _storage.log.warning("%s %s; it is left out", path, why)
        else:
            _storage.set_aside(path, why, kind)

    def _tell(self, earlier):
        """Say how many records of an earlier release were found, and put them out of the way."""
        if not earlier:
            return
        end = "left out" if self.read_only else "kept as *.earlier, and their trials run again"
        n = len(earlier)
        what = f"{n} records are" if n > 1 else "a record is"
        _storage.log.warning(
            "%s: %s of an earlier release and do%s not say whose %s; %s %s",
            *(self.trials, what, "es" * (n == 1), "they are" if n > 1 else "it is"),
            *("they are" if n > 1 else "it is", end),
        )
        if not self.read_only:
            for path in earlier:
                with suppress(FileNotFoundError):
                    path.replace(path.with_name(f"{path.name}.earlier"))

    def _params_bytes(self, name, record):
        """Return the npz file of a trial's parameters, or None; set aside what is not the trial's.

        The record has its checksum.
        """
        path = self.params_path(name)
        try:
            content = _storage.read_bytes(path)
        except FileNotFoundError:
            return None
        except (DamagedError, OSError) as error:
            self._set_aside(path, error)
            return None
        if hashlib.sha256(content).hexdigest() == record.get("params_sha256"):
            return content
        self._set_aside(path, "does not hold the parameters that its record names")
        return None

    def record(self, name: str) -> dict:
        """Return all of a finished trial's record."""
        return _storage.read_record(self.record_path(name))

    def history(self, name: str) -> list[dict]:
        """Return the history of a finished trial."""
        return self.record(name)["history"]

    def params(self, name: str) -> list:
        """Return the parameters that a trial has ended with, a list of (W, b).

        Raises
        ------
        FileNotFoundError
            If there are none, or not those of the record.
        """
        content = self._params_bytes(name, _storage.read_record(self.record_path(name), "settings"))
        if content is None:
            raise FileNotFoundError(
                f"{self.params_path(name)} is missing; the same command with --save-params makes it"
            )
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return [(file[f"W{layer}"], file[f"b{layer}"]) for layer in range(len(file.files) // 2)]

    def store(self, name: str, record: dict, params: list | None = None) -> None:
        """Write the record of a finished trial, and before it its parameters, if there are any."""
        if params is not None:
            content = npz(params)
            _storage.write(self.params_path(name), content)
            record = {"params_sha256": hashlib.sha256(content).hexdigest(), **record}
        _storage.write_record(self.record_path(name), record)
        for path in (self.failure_path(name), self.checkpoint_path(name)):
            with suppress(FileNotFoundError, IsADirectoryError, PermissionError):
                path.unlink()

    # ---- trials that failed ----------------------------------------------------------------------

    def fail(self, name: str, record: dict) -> None:
        """Write why a trial failed; the next command tries it again."""
        _storage.write_record(self.failure_path(name), record, indent=1)

    def failures(self) -> list[dict]:
        """Return the records of the trials that failed last time."""
        found = []
        for path in sorted(self.trials.glob("*.failed.json")):
            with suppress(DamagedError, OSError):  # it was tried again, or will be
                record = _storage.read_record(path)
                if path.name == f"{record.get('name')}.failed.json":
                    found.append(record)
        return found

    # ---- what commands have asked for ------------------------------------------------------------

    def plan(
        self, rows: Iterable[str], first: int, trials: int, settings: int | None = None
    ) -> None:
        """Write into plan.json what a command is about to do.

        It counts instead of what was asked for before, so that a mistaken number can be corrected;
        but what has ended stays in the plan, and while another command is at work all of it does.

        Parameters
        ----------
        rows : list of str
        first, trials : int
            The number of the first trial, and how many there are.
        settings : int, optional
            In a search, how many settings are tried.
        """
        with self.alone("plan.json"):
            plan = self.planned()
            ended = [*self.names(), *(record["name"] for record in self.failures())]
            stays = plan_of(ended) if self._claims.are_only("plan.json") else plan
            for row in rows:
                asked = {"first": first, "trials": trials, "settings": settings}
                plan[row] = most_of(asked, stays[row]) if row in stays else asked
            _storage.write_record(self.path / "plan.json", {"rows": plan})

    def planned(self) -> dict:
        """Return what is asked for, a dict of row to first, trials and settings.

        If plan.json is damaged or missing, it is what there are records of.
        """
        path = self.path / "plan.json"
        try:
            plan = _storage.read_record(path).get("rows")
            if is_plan(plan):
                return plan
            self._set_aside(path, EARLIER.split(",")[0], "earlier")
        except FileNotFoundError:
            pass
        except (DamagedError, OSError) as error:
            self._set_aside(path, error)
        return plan_of(self.names())

    # ---- commands that share the folder ----------------------------------------------------------

    @contextmanager
    def claims(self) -> Iterator[None]:
        """Within, `claim` keeps trials from other commands.

        Whatever ends this process ends its claims. What killed commands were writing is removed.
        """
        with self._open_claims():
            for folder in (self.path, self.trials):
                _storage.remove_partial(folder)
            yield

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """Within, no other command is in its own `alone` of the same name."""
        with self._open_claims():
            self._claims.claim(what, self, wait=True)
            try:
                yield
            finally:
                self._claims.release(what, self)

    @contextmanager
    def _open_claims(self):
        """Open the claims for this folder, unless they are open."""
        if self._claims is not None:
            yield
            return
        self.check()
        self.trials.mkdir(parents=True, exist_ok=True)
        with claims.opened(self.path / ".claims") as self._claims:
            try:
                yield
            finally:
                self._claims.release_all(self)
                self._claims = None

    def claim(self, name: str) -> bool:
        """Return whether the trial is ours now: False if another command has it."""
        return self._claims.claim(name, self)

    def release(self, name: str) -> None:
        """End our claim to a trial."""
        self._claims.release(name, self)

    @contextmanager
    def reading_claims(self) -> Iterator[Callable[[str], bool]]:
        """Return a function that tells whether any command runs the trial of a name."""
        with ExitStack() as stack:
            try:
                path = self.path / ".claims"
                found = stack.enter_context(claims.opened(path, create=False))
            except OSError:  # there are none, or nobody can write here
                yield lambda name: False
            else:
                yield found.is_claimed


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
