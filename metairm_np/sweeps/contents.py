"""What a run folder is for: the trials of a study, or the settings that a search tries."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

from metairm_np import _storage
from metairm_np._storage import DamagedError
from metairm_np.experiments import search_space
from metairm_np.experiments.files import Experiment, Study, resolved, row_of, study_of
from metairm_np.sweeps import identity
from metairm_np.sweeps.trial import Task, tasks_of

DECIDES = ("seed", "dtype", "engine", "data_checksums")


@dataclass(frozen=True)
class Contents:
    """A study and what else decides the results of its trials.

    Parameters
    ----------
    study : Study
    seed : int
        The run's.
    dtype : {"float32", "float64"}
    engine : {"fast", "spec"}
    data_checksums : dict of str
        Of the files that the data of each case come from, see `identity.data_checksum`.
    """

    study: Study
    seed: int
    dtype: str
    engine: str
    data_checksums: dict

    @classmethod
    def new(cls, study: Study, seed: int, dtype: str, engine: str) -> Contents:
        """Return the contents with the data as they are here."""
        environments = {
            case: json.dumps(one.config["environment"]) for case, one in study.cases.items()
        }
        checksums = {case: identity.data_checksum(env) for case, env in environments.items()}
        return cls(study, seed, dtype, engine, checksums)

    @property
    def rows(self) -> list[str]:
        """The names of all rows of the study's tables."""
        return [row_of(a, case) for case, e in self.study.cases.items() for a in e.algorithms]

    def config(self) -> dict:
        """Return what config.json holds of it."""
        config = {field.name: getattr(self.study, field.name) for field in fields(self.study)}
        config["cases"] = {case: one.config for case, one in self.study.cases.items()}
        return config | {key: getattr(self, key) for key in DECIDES}

    @classmethod
    def read(cls, path: Path) -> Contents:
        """Return the contents of the run folder `path`.

        Raises
        ------
        ValueError
            If its config.json cannot be used; one sentence.
        """
        file = path / "config.json"
        try:
            config = _storage.read_record(file)
            return cls(study_of(config), *(config[key] for key in DECIDES))
        except FileNotFoundError:
            why = "is missing"
        except (DamagedError, OSError) as error:
            why = str(error)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            why = f"is of another release, or not sound ({error})"
        raise ValueError(f"{file} {why}; the command that made it, run again, writes it anew")

    def task(
        self, case: str, algorithm: str, trial: int, setting: int | None = None, **options
    ) -> Task:
        """Return a trial of the study; `options` are other fields of `Task`."""
        experiment = self.study.cases[case]
        if setting is not None:
            experiment = _variant(json.dumps(experiment.config), algorithm, self.seed, setting)
        options |= {key: getattr(self, key) for key in ("seed", "dtype", "engine")}
        options |= {"setting": setting, "data_checksum": self.data_checksums[case]}
        (task,) = tasks_of(experiment, [algorithm], [trial], **options)
        return task

    def mismatch(self, record: dict, name: str) -> str | None:
        """Return why a record cannot be that of the trial `name`, as a predicate, or None."""
        if any(key not in record for key in identity.KEYS):
            return identity.EARLIER
        if record["name"] != name:
            return f"is foreign: it is the record of {record['name']!r}"
        try:
            task = self.task(*(record[k] for k in ("case", "algorithm", "trial", "setting")))
            return identity.mismatch(record, task.identity)
        except (LookupError, TypeError, ValueError) as error:
            return f"is foreign: this run has no such trial ({error!r})"


@lru_cache(maxsize=4096)
def _variant(config: str, algorithm: str, seed: int, setting: int) -> Experiment:
    """Return an experiment whose algorithm has the settings that a search draws."""
    own = json.loads(config)
    drawn = search_space.draw(own["search"][algorithm]["ranges"], seed, setting)
    return resolved(json.dumps(search_space.with_setting(own, algorithm, drawn)))
