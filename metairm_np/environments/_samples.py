"""What is in files of one's own: the samples of all environments, read once per process."""

from __future__ import annotations

import functools
import json
from typing import NamedTuple

import numpy as np

from metairm_np import _checks
from metairm_np.environments import _columns, _labels, _packing, _sources


class Part(NamedTuple):
    """An environment's samples.

    x : (n, d) array of float64
    y : (n,) array of int
    """

    x: np.ndarray
    y: np.ndarray


class Samples(NamedTuple):
    """What all trials share.

    train, test : dict of Part
        By the environments' names.
    classes : list of str
        The names of the classes.
    sources : dict of str
        The SHA-256 of each file.
    """

    train: dict
    test: dict
    classes: list
    sources: dict


@functools.lru_cache(maxsize=4)
def read(options):
    """Return the Samples that an [environment], as JSON, names; read once per process."""
    options = json.loads(options)
    where = {what: _sources.named(what, options[what]) for what in ("train", "test")}
    columns = [options["environment"]] if options["data"] is not None else []
    wanted = _columns.Wanted(
        (options["target"], *columns), tuple(options["features"]), tuple(options["ignore"])
    )
    tables = {}
    for file in _sources.files_of(options):
        content = _sources.content(file, options["folder"])
        if _sources.sha256(content) != options["sha256"].get(file):
            raise ValueError(
                f"{file} has changed since its SHA-256 was taken; run the command again"
            )
        tables[file] = _columns.read(content, file, wanted)
    _check_files(options, tables)
    if options["data"] is None:
        found = {
            what: {name: tables[file] for name, file in some.items()}
            for what, some in where.items()
        }
    else:
        (table,) = tables.values()
        found = {
            what: {
                name: _rows_of(table, options["environment"], value) for name, value in some.items()
            }
            for what, some in where.items()
        }
    return _numbered(_aligned(found), options)


def _check_files(options, tables):
    """Raise ValueError if two files are the same, or have other inputs than the first."""
    seen: dict = {}
    (first, *others) = tables.values()
    for file in tables:
        twin = seen.setdefault(options["sha256"][file], file)
        if twin != file:
            raise ValueError(
                f"{twin} and {file} are the same, byte for byte; give each environment samples of "
                "its own"
            )
    for name in options["ignore"]:
        if not any(name in table.names for table in tables.values()):
            known = _checks.nearest(name, first.names)
            raise ValueError(f"ignore has {name!r}, but no file has such a column; {known}")
    for other in others:
        if not {*first.inputs} & {*other.inputs}:
            raise ValueError(
                f"{first.file} and {other.file} have no column in common beside "
                f"{options['target']!r}; give environments with the same inputs"
            )
        for one, two in ((first, other), (other, first)):
            there = {*two.inputs}
            lacking = [name for name in one.inputs if name not in there]
            if lacking:
                raise ValueError(
                    f"{two.file} has no column {lacking[0]!r}, which {one.file} has; add it, or "
                    f"leave it out with ignore = [{lacking[0]!r}]"
                )


def _rows_of(table, column, value):
    """Return the rows of a table that are of one environment."""
    names = table.texts[column]
    rows = np.flatnonzero(names == value)
    if not len(rows):
        known = _checks.nearest(value, map(str, np.unique(names)))
        raise ValueError(f"{table.file} has no {column} {value!r}; {known}")
    texts = {name: texts[rows] for name, texts in table.texts.items()}
    return table._replace(x=table.x[rows], texts=texts)


def _aligned(found):
    """Return the environments with their inputs in the order of the first one's."""
    order = next(iter(found["train"].values())).inputs

    def aligned(table):
        place = {name: place for place, name in enumerate(table.inputs)}
        return table._replace(x=table.x[:, [place[name] for name in order]])

    return {
        what: {name: aligned(table) for name, table in some.items()} for what, some in found.items()
    }


def _numbered(found, options):
    """Return the Samples of environments whose labels are still texts."""
    target, parts = options["target"], {}
    labels = [table.texts[target] for table in found["train"].values()]
    classes = _labels.classes_of(labels, target)
    for what, some in found.items():
        parts[what] = {}
        for name, table in some.items():
            y, unseen = _labels.numbered(table.texts[target], classes)
            if unseen:
                label = next(iter(unseen))
                raise ValueError(
                    f"the environment {name!r} has the {target} {label!r} in {unseen[label]} "
                    f"samples, which no training environment has ({', '.join(classes)}); leave "
                    "these samples out, or train on some"
                )
            parts[what][name] = Part(_packing.locked(table.x), _packing.locked(y))
    return Samples(parts["train"], parts["test"], list(classes), options["sha256"])
