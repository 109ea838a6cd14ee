"""Trials that run folders share, such as the full method in a table of ablations, run once."""

from __future__ import annotations

import json

from metairm_np.sweeps.contents import Contents
from metairm_np.sweeps.folder import Folder


def adopt(folder: Folder, tasks) -> None:
    """Copy finished trials of other run folders beside this one that are those of `tasks`.

    Parameters
    ----------
    folder : Folder
    tasks : list of Task
        Those of a search are left alone.
    """
    wanted = [t for t in tasks if t.setting is None and not folder.record_path(t.name).exists()]
    beside = _rows_beside(folder) if wanted else {}
    for task in wanted:
        for other, contents, case, algorithm in beside.get(task.identity["settings_hash"], []):
            theirs = contents.task(case, algorithm, task.trial)
            if theirs.data_checksum != task.data_checksum:
                continue
            if other.summary(theirs.name, theirs.identity, task.keep_params):
                settings = json.loads(task.config)["algorithms"][task.algorithm]
                record = {**other.record(theirs.name), **task.identity, "settings": settings}
                record.pop("params_sha256", None)  # of theirs, if they kept them
                params = other.params(theirs.name) if task.keep_params else None
                folder.store(task.name, record, params)
                break


def _rows_beside(folder):
    """Return the rows of other run folders, by the hash of their settings."""
    found: dict = {}
    for path in sorted(folder.path.parent.glob("*/config.json")):
        one = path.parent
        if one == folder.path or one.is_symlink() or one.name.startswith("search-"):
            continue
        other = Folder(one, read_only=True)
        try:
            other.check()
            contents = Contents.read(one)
            for case, experiment in contents.study.cases.items():
                for algorithm in experiment.algorithms:
                    key = contents.task(case, algorithm, 0).identity["settings_hash"]
                    found.setdefault(key, []).append((other, contents, case, algorithm))
        except (OSError, ValueError):  # it is no use here; `report` says why
            continue
    return found
