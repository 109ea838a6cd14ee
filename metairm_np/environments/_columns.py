"""CSV and npz files to columns: numbers to learn from, and the texts of labels and environments.

Whatever is wrong with a file is one sentence, with the place.
"""

from __future__ import annotations

import csv
import io
import itertools
from typing import NamedTuple

import numpy as np

from metairm_np import _checks

MISSING = ("", "na", "n/a", "nan", "null", "none")  # what stands where a number is missing
MISSING_TEXT = ("", "nan")  # the others may be labels
ROWS = 4096  # of a CSV file that are converted at once


class Wanted(NamedTuple):
    """Which columns are read.

    Parameters
    ----------
    texts : tuple of str
        Those of labels and of environments' names.
    features : tuple of str
        The inputs; empty for all others but `ignore`.
    ignore : tuple of str
        Not all files need to have them.
    """

    texts: tuple
    features: tuple = ()
    ignore: tuple = ()

    def inputs(self, names, file):
        """Return which of a file's columns are inputs; ValueError if a column is missing."""
        for name in (*self.texts, *self.features):
            if name not in names:
                raise ValueError(f"{file} has no column {name!r}; {_checks.nearest(name, names)}")
        for name in self.features:
            if name in self.texts:
                raise ValueError(f"features has {name!r}, which is no input; leave it out")
        others = [name for name in names if name not in (*self.texts, *self.ignore)]
        found = list(self.features) or others
        if not found:
            raise ValueError(f"{file} has no columns beside {', '.join(names)}; add some inputs")
        return found


class Columns(NamedTuple):
    """What is read of a file.

    Parameters
    ----------
    file : str
        What messages call it.
    names : list of str
        Those of all its columns.
    inputs : list of str
        The names of the columns of `x`.
    x : (n, d) array
    texts : dict of array
        By name, the columns of labels and of environments' names, (n,) of str.
    """

    file: str
    names: list
    inputs: list
    x: np.ndarray
    texts: dict


def read(content: bytes, file: str, wanted: Wanted) -> Columns:
    """Read the columns of a file.

    Parameters
    ----------
    content : bytes
    file : str
        Its name, which ends in .npz, .csv or, with tabs for commas, .tsv.
    wanted : Wanted

    Returns
    -------
    Columns

    Raises
    ------
    ValueError
        If there are no samples, a column that is missing or a value that is none.
    """
    kind = file.rpartition(".")[2].lower()
    if kind not in ("npz", "csv", "tsv"):
        raise ValueError(f"{file} is of no known kind; give files that end in .csv, .tsv or .npz")
    if not content:
        raise ValueError(f"{file} is empty; give a file with samples")
    columns, places = (_read_npz if kind == "npz" else _read_csv)(content, file, wanted)
    if not len(columns.x):
        raise ValueError(f"{file} has columns and no samples; give a file with samples")
    _check_no_gaps(columns, places)
    return columns


def _check_no_gaps(columns, places):
    """Raise ValueError if a value is missing; `places` says where each sample stands."""
    for name, values in columns.texts.items():
        gaps = np.flatnonzero(np.isin(np.char.lower(values), MISSING_TEXT))
        if len(gaps):
            raise ValueError(
                f"{columns.file} has no {name!r} in {len(gaps)} of {len(values)} samples, the "
                f"first in {places(gaps[0])}; fill them in, or leave these samples out"
            )
    bad = ~np.isfinite(columns.x)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"{columns.file} has values that are missing, NaN or infinite, {bad.sum()} in all, the "
            f"first in column {columns.inputs[column]!r}, {places(row)}; fill them in, or leave "
            "these samples out"
        )


def _no_number(file, name, value, place):
    return ValueError(
        f"{file} has {value!r} in column {name!r}, {place}, which is no number; correct it, or "
        f"leave the column out with ignore = [{name!r}]"
    )


# ---- CSV -----------------------------------------------------------------------------------------


def _read_csv(content, file, wanted):
    """Return the Columns of a CSV file, and what says in which line a sample stands."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not UTF-8; write it anew as CSV in UTF-8") from None
    tabs = file.lower().endswith("tsv")
    lines = csv.reader(
        io.StringIO(text, newline=""), delimiter="\t" if tabs else ",", skipinitialspace=True,
        strict=True,
    )  # fmt: skip
    rows = _rows(lines, file)
    _, head = next(rows, (0, []))
    names = [name.strip() for name in head]
    _check_head(names, file)
    inputs = wanted.inputs(names, file)
    place_of = {name: place for place, name in enumerate(names)}
    places = [place_of[name] for name in inputs]
    texts: dict = {name: [] for name in wanted.texts}
    x, numbers = [np.empty((0, len(inputs)))], []
    while some := list(itertools.islice(rows, ROWS)):
        cells = [[row[place] for place in places] for _, row in some]
        x.append(_numbers(cells, file, inputs, [number for number, _ in some]))
        numbers += [number for number, _ in some]
        for name, found in texts.items():
            found += [row[place_of[name]].strip() for _, row in some]
    arrays = {name: np.array(found, dtype=str) for name, found in texts.items()}
    columns = Columns(file, names, inputs, np.concatenate(x), arrays)
    return columns, lambda row: f"line {numbers[row]}"


def _rows(lines, file):
    """Yield the number of the line and the values of each row, blank lines left out."""
    width = None
    try:
        for row in lines:
            if not row:
                continue
            width = len(row) if width is None else width
            if len(row) != width:
                raise ValueError(
                    f"{file} has {len(row)} values in line {lines.line_num}, its head {width}; "
                    "correct that line"
                )
            yield lines.line_num, row
    except csv.Error as error:
        raise ValueError(
            f"{file} is no CSV from line {lines.line_num} on ({error}); correct that line"
        ) from None


def _check_head(names, file):
    """Raise ValueError unless the names of columns are sound."""
    if not names:
        raise ValueError(f"{file} is empty; give a file with samples")
    if len(names) == 1 and any(mark in names[0] for mark in ";\t"):
        raise ValueError(
            f"{file} has one column, {names[0]!r}; separate the columns by commas, or end the name "
            "in .tsv for tabs"
        )
    if "" in names:
        raise ValueError(
            f"{file} has no name for column {names.index('') + 1}; give it one in the first line "
            "(pandas writes its index so: index=False leaves it out)"
        )
    seen: set = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{file} has two columns {name!r}; give each a name of its own")
        seen.add(name)


def _numbers(cells, file, inputs, numbers):
    """Return some lines of a CSV file as numbers; NaN where a value is missing."""
    try:
        return np.array(cells, dtype=float)
    except ValueError:  # something is missing, or no number
        x = np.empty((len(cells), len(inputs)))
        for row, column in np.ndindex(x.shape):
            cell = cells[row][column].strip()
            try:
                x[row, column] = np.nan if cell.lower() in MISSING else float(cell)
            except ValueError:
                raise _no_number(file, inputs[column], cell, f"line {numbers[row]}") from None
        return x


# ---- npz -----------------------------------------------------------------------------------------


def _read_npz(content, file, wanted):
    """Return the Columns of an npz file, and what says in which row a sample stands.

    An array (n,) is a column, an array (n, d) several.
    """
    try:
        archive = np.load(io.BytesIO(content), allow_pickle=False)
        names = archive.files
    except Exception:  # what is no such archive raises anything
        raise ValueError(f"{file} is no npz file; write it with numpy.savez") from None
    keys = wanted.inputs(names, file)
    arrays = {name: _array(archive, name, file) for name in (*wanted.texts, *keys)}
    texts = {name: _texts(arrays[name], name, file) for name in wanted.texts}
    n = len(next(iter(texts.values())))
    inputs: list = []
    for name in keys:
        array = arrays[name]
        if array.ndim not in (1, 2) or len(array) != n:
            raise ValueError(
                f"{file} has {name!r} of shape {array.shape} for {n} samples; give ({n},) or "
                f"({n}, d), or leave it out with ignore = [{name!r}]"
            )
        if array.dtype.kind not in "fiub":
            value = str(array.ravel()[0]) if array.size else str(array.dtype)
            raise _no_number(file, name, value, "row 0")
        inputs += [name] if array.ndim == 1 else [f"{name}[{i}]" for i in range(array.shape[1])]
    x = np.column_stack([arrays[name] for name in keys]).astype(float)
    return Columns(file, names, inputs, x, texts), lambda row: f"row {row}"


def _array(archive, name, file):
    """Return an array of an npz file, or raise ValueError if that fails."""
    try:
        return archive[name]
    except Exception as error:  # a damaged archive raises anything from zlib.error to KeyError
        why = f"{file} has {name!r}, which cannot be read ({error}); write the file anew"
        if "allow_pickle" in str(error):
            why = (
                f"{file} has {name!r} as Python objects, which are not read; convert it, for "
                "instance x.astype(float) or y.astype(str), or leave it out of the inputs with "
                "ignore"
            )
        raise ValueError(why) from None


def _texts(array, name, file):
    """Return labels, or names of environments, as texts."""
    if array.ndim != 1 or array.dtype.kind not in "iufbSU":
        raise ValueError(
            f"{file} has {name!r} of shape {array.shape} and type {array.dtype}; give one label "
            "for each sample, (n,) of whole numbers or texts"
        )
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    return np.char.strip(array.astype(str))
