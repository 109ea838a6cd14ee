"""Files with the accuracies of trials: somebody's own, this project's run folders, the committed.

Whatever is wrong with one is a sentence, with the place.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from metairm_np import _checks, _storage
from metairm_np._storage import DamagedError
from metairm_np.experiments.files import available, row_of
from metairm_np.training.result import Status

COLUMNS = {  # of a file, each by the names that it may have
    "algorithm": ("algorithm",),
    "trial": ("trial",),
    "p_e": ("p_e", "environment"),
    "accuracy": ("accuracy", "test_accuracy"),
}
FILES = ("results.json", "results.csv")  # that a run folder has
UNUSABLE = [status.value for status in Status if not status.usable]


class Results(NamedTuple):
    """The accuracies of trials, in per cent.

    Parameters
    ----------
    source : str
        Where they are from.
    accuracies : dict
        By row of the tables, such as "meta_irm", and p_e, as text: a dict of the accuracies by the
        trials' numbers.
    left_out : list of str
        Trials whose numbers enter no table, and why.
    """

    source: str
    accuracies: dict
    left_out: list

    @property
    def samples(self) -> dict:
        """The accuracies without the trials' numbers, a list for each row and p_e."""
        return {key: list(trials.values()) for key, trials in self.accuracies.items()}


def read(path: str | Path) -> Results:
    """Read accuracies from a CSV or JSON file, or from a run folder.

    Parameters
    ----------
    path : str or path
        Of a CSV file with the columns algorithm, trial, p_e and accuracy, and perhaps case and
        status; of a JSON file with a list of such rows; of a run's results.csv or results.json; or
        of a folder that holds one of these two.

    Returns
    -------
    Results

    Raises
    ------
    ValueError, OSError
        If it cannot be read, or something is missing, there twice, or no accuracy; one sentence.
    """
    path = Path(path)
    if path.is_dir():
        found = [path / name for name in FILES if (path / name).is_file()]
        if not found:
            raise ValueError(
                f"{path} has neither {' nor '.join(FILES)}; name a run folder whose command has "
                "ended, or a file"
            )
        path = found[0]
    try:
        text = _storage.read_bytes(path).decode("utf-8-sig")
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {path}; name one with accuracies") from None
    except DamagedError as error:
        raise ValueError(f"{path} {error}; name the file itself") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8; give a CSV or JSON file") from None
    except OSError as error:
        raise OSError(f"{path} cannot be read ({error.strerror or error})") from None
    if not text.strip():
        raise ValueError(f"{path} is empty; give one row for each algorithm, trial and p_e")
    rows = _json_rows(text, path) if path.suffix.lower() == ".json" else _csv_rows(text, path)
    return _collected(rows, str(path))


def committed_files() -> dict[str, Path]:
    """Return the committed results by their names: experiments, tables and figures of the paper."""
    folder = _storage.shipped("experiments") / "results"
    found: dict[str, Path] = {}
    for experiment, config in available().items():
        path = folder / experiment / "results.json"
        if path.is_file():
            found |= dict.fromkeys([*config.get("artefacts", []), experiment], path)
    return found


def committed(name: str) -> Results:
    """Return the committed results of an experiment, or of a table or figure of the paper.

    Raises
    ------
    ValueError
        If there are none of that name.
    """
    files = committed_files()
    if name not in files:
        raise ValueError(
            f"there are no committed results of {name!r}, and no such file or folder; "
            f"{_checks.nearest(name, files)}; or name a run folder"
        )
    return read(files[name])._replace(source=name)


def reference(against: str) -> Results:
    """Return the committed results of a name, or what is read from a path."""
    path = Path(against)
    is_path = path.exists() or path.suffix or len(path.parts) > 1
    return read(path) if is_path and against not in committed_files() else committed(against)


# ---- rows ----------------------------------------------------------------------------------------


def _csv_rows(text, path):
    """Yield the place and the fields of each row of a CSV file."""
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        head = [name.strip() for name in next(reader)]
        for fields in reader:
            where = f"{path}, line {reader.line_num}"
            if len(fields) not in (0, len(head)):
                raise ValueError(
                    f"{where} has {len(fields)} fields under a heading of {len(head)} columns; "
                    "give one for each"
                )
            if fields:
                yield where, dict(zip(head, map(str.strip, fields)))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num} is no CSV ({error})") from None


def _json_rows(text, path):
    """Yield the place and the fields of each row of a JSON file, or of a run's results.json."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON ({error}); give a list of rows") from None
    rows = content.get("trials") if isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(
            f'{path} has no list of rows such as {{"algorithm": "erm", "trial": 0, "p_e": 0.9, '
            '"accuracy": 0.16}}; give one, or a results.json of this project'
        )
    for number, row in enumerate(rows):
        where, by_name = f"{path}, entry {number}", row.get("test_accuracy")
        if isinstance(by_name, dict):
            for p_e, accuracy in by_name.items():
                yield where, {**row, "p_e": p_e, "accuracy": accuracy, "test_accuracy": accuracy}
        else:
            yield where, row


def _collected(rows: Iterator, source: str) -> Results:
    """Return the Results of rows, pairs of their place and a dict of their fields."""
    found: dict = {}
    left_out: dict = {}
    values: dict = {}
    names: dict | None = None
    for where, fields in rows:
        if names is None:
            names = {what: _column(what, fields, source) for what in COLUMNS}
        own = {what: fields.get(name) for what, name in names.items()}
        row, trial = str(own["algorithm"]), _trial(own["trial"], where)
        row = row_of(row, str(fields.get("case") or ""))
        if fields.get("status") in UNUSABLE:
            left_out[f"{row}, trial {trial}: {fields['status']}"] = True
            continue
        for what, value in own.items():
            if value in ("", None):
                raise ValueError(f"{where} has no {names[what]}; give one, or leave the row out")
        p_e = _p_e(own["p_e"])
        values[where, row, p_e] = _accuracy(own["accuracy"], where)
        there = found.setdefault((row, p_e), {})
        if trial in there:
            raise ValueError(
                f"{where} has {row}, trial {trial}, p_e {p_e} for the second time; keep one of them"
            )
        there[trial] = values[where, row, p_e]
    if not found:
        why = f"; left out: {', '.join(left_out)}" if left_out else ""
        raise ValueError(f"{source} has no accuracies{why}; give one a trial and p_e")
    scale = _per_cent(values)
    accuracies = {
        key: {trial: scale * value for trial, value in some.items()} for key, some in found.items()
    }
    return Results(source, accuracies, list(left_out))


def _column(what, fields, source):
    """Return what a file calls a column; of two names the first that is there."""
    there = [name for name in COLUMNS[what] if name in fields]
    if not there:
        raise ValueError(
            f"{source} has no column {what!r}; {_checks.nearest(what, map(str, fields))}"
        )
    return there[0]


def _trial(value, where):
    """Return a trial's number."""
    try:
        number = float(value)
        if number == int(number) and number >= 0 and not isinstance(value, bool):
            return int(number)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"{where} has the trial {value!r}; give a whole number >= 0")


def _p_e(value):
    """Return what records call a test environment: a p_e as text, or another name as it is."""
    try:
        return f"{float(value):g}"
    except (TypeError, ValueError):
        return str(value)


def _accuracy(value, where):
    """Return an accuracy, in whatever unit, as a number from 0 to 100."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 100:
        raise ValueError(
            f"{where} has the accuracy {value!r}; give a number from 0 to 1, or in all rows in per "
            "cent, or leave a trial without one out"
        )
    return number


def _per_cent(values):
    """Return what makes per cent of all accuracies of a file, by their places; or raise.

    They are fractions if none is above 1, and in per cent if none lies within (0, 1].
    """
    small = [place for place, value in values.items() if 0 < value <= 1]
    large = [place for place, value in values.items() if value > 1]
    if small and large:
        (one, *_), (other, *_) = small[0], large[0]
        raise ValueError(
            f"{one} has the accuracy {values[small[0]]:g}, {other} {values[large[0]]:g}, which "
            "cannot both be fractions or both be in per cent; give all from 0 to 1, or all in per "
            "cent"
        )
    return 1.0 if large else 100.0
