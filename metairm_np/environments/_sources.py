"""Which files data of one's own are in, and what their SHA-256 are."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

Named = Sequence[str] | Mapping[str, str]


def pinned(options: Mapping, folder: str | os.PathLike) -> dict:
    """Return the options of `from_files` with the folder and the files' SHA-256.

    Parameters
    ----------
    options : dict
        SHA-256 that it has already stay.
    folder : str or path
        What the options' own folder, and by it files, are relative to.

    Returns
    -------
    dict

    Raises
    ------
    ValueError, TypeError
        If what is said of the files does not fit together, or one cannot be read.
    FileNotFoundError
        If one is missing.
    """
    check(options)
    folder = str(Path(folder) / options.get("folder", ""))
    given = options.get("sha256") or {}
    found = {file: given.get(file) or sha256(content(file, folder)) for file in files_of(options)}
    return {**options, "folder": folder, "sha256": found}


def named(what: str, entries: Named) -> dict[str, str]:
    """Return environments by name, in order: each its file, or its name in the column.

    Parameters
    ----------
    what : {"train", "test"}
    entries : list of str, or dict of str
        See `from_files`.

    Returns
    -------
    dict of str

    Raises
    ------
    ValueError, TypeError
        If there are none, or two of one name.
    """
    listed = isinstance(entries, (list, tuple))
    pairs = [(one, one) for one in entries] if listed else getattr(entries, "items", list)()
    if not pairs or not all(type(part) in (str, int) and part != "" for p in pairs for part in p):
        raise TypeError(
            f'{what} is {entries!r}; give files, or names of environments, as ["a.csv", "b.csv"] '
            'or { a = "a.csv", b = "b.csv" }'
        )
    found: dict[str, str] = {}
    for name, where in pairs:
        name = str(name)
        if listed and name.lower().endswith((".csv", ".tsv", ".npz")):
            name = Path(name).stem
        if name in found:
            raise ValueError(
                f"{what} has two environments called {name!r}; name them otherwise, "
                f'{what} = {{ NAME = "{where}" }}'
            )
        found[name] = str(where)
    return found


def files_of(options: Mapping) -> list[str]:
    """Return the files that the options of `from_files` name, in order, each once."""
    if options.get("data") is not None:
        return [options["data"]]
    parts = [named(what, options.get(what, ())).values() for what in ("train", "test")]
    return list(dict.fromkeys(file for part in parts for file in part))


def content(file, folder):
    """Return the bytes of a file."""
    path = Path(folder) / Path(file).expanduser()
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"there is no file {path}; give the path of a file, relative to that of the experiment"
        ) from None
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ValueError(f"{path} cannot be read ({why}); give a file that can") from None


def sha256(some):
    """Return the SHA-256 of bytes in hexadecimal digits."""
    return hashlib.sha256(some).hexdigest()


def check(options):
    """Raise unless what is said of the files and columns fits together."""
    data, column = options.get("data"), options.get("environment")
    if (data is None) != (column is None):
        raise ValueError(
            f"data is {data!r} and environment is {column!r}; give both, a file and its column "
            "with the environments' names, or neither"
        )
    _text("target", options.get("target", "y"))
    for key in ("data", "environment", "folder"):
        if options.get(key) is not None:
            _text(key, options[key])
    for key in ("features", "ignore"):
        columns = options.get(key, ())
        if not isinstance(columns, (list, tuple)):
            raise TypeError(f"{key} is {columns!r}; give a list of names of columns, in brackets")
        for name in columns:
            _text(f"a column in {key}", name)
    if options.get("features") and options.get("ignore"):
        raise ValueError("features and ignore are both given; leave one of them out")
    seen: dict = {}
    for what in ("train", "test"):
        for name, where in named(what, options.get(what, ())).items():
            if where in seen:
                raise ValueError(
                    f"{where!r} is the environment {seen[where]!r} and {name!r}, too; give each "
                    "environment samples of its own"
                )
            seen[where] = name


def _text(what, value):
    if not isinstance(value, str) or not value:
        raise TypeError(f"{what} is {value!r}; give the name of a column or of a file, in quotes")
