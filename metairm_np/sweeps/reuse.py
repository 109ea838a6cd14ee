"""Trials that several experiments share, such as the full method in a table of ablations: carried out once.

What decides a trial's bits is in `key_of`; a run folder takes over each of its trials that one
beside it has finished.
"""

import json
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

from metairm_np import _storage
from metairm_np.experiments.files import resolve, row_of
from metairm_np.sweeps.folder import Folder, name_of


def adopt(tasks, folder):
    """Copy into `folder` the finished trials of other run folders beside it that are those of `tasks`.

    Parameters
    ----------
    tasks : list of Task
        Those of a search are left alone.
    folder : Folder
    """
    wanted = [
        task
        for task in tasks
        if task.setting is None and not folder.record_path(task.name).exists()
    ]
    beside = rows_beside(folder) if wanted else {}
    for task in wanted:
        key = key_of(task.config, task.algorithm, task.seed, task.dtype, task.engine)
        for other, row in beside.get(key, []):
            name = name_of(row, task.trial)
            if other.summary(name, task.keep_params):
                settings = json.loads(task.config)["algorithms"][task.algorithm]
                own = {
                    "name": task.name,
                    "case": task.case,
                    "algorithm": task.algorithm,
                    "settings": settings,
                }
                record = {**_storage.read_record(other.record_path(name)), **own}
                for made_anew in ("params_sha256", "crc32"):
                    record.pop(made_anew, None)
                folder.store(task.name, record, other.params(name) if task.keep_params else None)
                break


@lru_cache(maxsize=1024)
def key_of(config, algorithm, seed, dtype, engine):
    """Return what decides a trial's results but its number: the settings of data, tests and algorithm, seed, dtype and engine."""
    experiment = resolve(json.loads(config))
    alone = replace(
        experiment, algorithms={"": experiment.algorithms[algorithm]}
    )  # whatever its name in the table
    return alone.hash(seed, dtype, engine)


def rows_beside(folder):
    """Return the rows of all other run folders beside `folder`, searches left out: by their key a list of (Folder, row)."""
    found = {}
    for path in sorted(folder.path.parent.glob("*/config.json")):
        if path.parent == folder.path or path.parent.name.startswith("search-"):
            continue
        config = _storage.read_json(path) or {}
        with suppress(KeyError, TypeError, ValueError):  # made by a release with other settings
            for case, one in config["cases"].items():
                for algorithm in one["algorithms"]:
                    key = key_of(
                        json.dumps(one),
                        algorithm,
                        config["seed"],
                        config["dtype"],
                        config["engine"],
                    )
                    found.setdefault(key, []).append((Folder(path.parent), row_of(algorithm, case)))
    return found
