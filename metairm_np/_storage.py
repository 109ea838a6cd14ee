"""Files that are never half there, and that say so when they are damaged.

Each is written to a temporary name and renamed. A record is JSON that ends with a checksum of its
text; nested values with arrays are npz with JSON inside and end with the SHA-256 of both. What
reads them finds any change.
"""

import hashlib
import importlib.resources
import io
import json
import logging
import os
import secrets
import stat
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np

try:
    import fcntl
except ImportError:  # without such locks a killed command's temporary files stay
    fcntl = None  # type: ignore[assignment]

DIGEST = hashlib.sha256().digest_size
LARGEST = 2**30  # bytes of a file that is read; a record has some hundred kilobytes
log = logging.getLogger("metairm_np")


class DamagedError(Exception):
    """A file that cannot be what it was written as; the message says why, as a predicate."""


class ForeignError(Exception):
    """A file that is as it was written, by something else than what reads it."""


def write(path, content):
    """Write text or bytes to `path`, atomically, making its folder if need be."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        set_aside(path, "is a folder")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(partial, "xb") as file:
            _try_lock(file)  # for `remove_partial` to see that somebody writes
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            if fcntl:
                partial.replace(path)
        if not fcntl:  # where an open file cannot be renamed
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def remove_partial(folder, name="*"):
    """Remove what killed commands have left of writing files called `name` in `folder`."""
    for path in Path(folder).glob(f".{name}.{'[0-9a-f]' * 8}.part"):
        with suppress(OSError), open(path, "rb") as file:
            if _try_lock(file):
                path.unlink(missing_ok=True)


def _try_lock(file):
    """Return whether the file is ours now; its lock ends when it is closed or its process dies."""
    if fcntl:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False


def write_json(path, value, indent=None):
    """Write `value` as JSON, NaN and infinity as null."""
    write(path, json.dumps(_finite(value), indent=indent, allow_nan=False) + "\n")


def read_json(path):
    """Return the dict in a JSON file, or None if there is no file or it holds none."""
    try:
        found = json.loads(read_bytes(path))
    except (FileNotFoundError, DamagedError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def read_bytes(path):
    """Return a file's bytes; links are not followed, and no more is read than LARGEST.

    Raises
    ------
    FileNotFoundError
    DamagedError
        If it is a link, a folder or too large.
    """
    about = os.lstat(path)
    if stat.S_ISLNK(about.st_mode):
        raise DamagedError("is a symbolic link, which is not followed")
    if not stat.S_ISREG(about.st_mode):
        raise DamagedError("is no file")
    if about.st_size > LARGEST:
        raise DamagedError(f"has {about.st_size} bytes, more than the {LARGEST} that are read")
    return Path(path).read_bytes()


def write_record(path, record, indent=None):
    """Write a dict as JSON that ends with the CRC-32 of its text, for `read_record` to check."""
    text = json.dumps(_finite(record), indent=indent, allow_nan=False)
    body = text[:-1].rstrip().encode()
    write(path, body + seal(body))


def read_record(path, until=None):
    """Return what `write_record` wrote.

    The key `until` and those after it are left out, which is faster where they are long; the
    checksum covers all.

    Raises
    ------
    FileNotFoundError
    DamagedError
        If the file is not as it was written.
    """
    content = read_bytes(path)
    end = len(content) - len(seal(b""))
    body = memoryview(content)[: max(end, 0)]  # a view, as copies take longer than the checksum
    if end < 0 or content[end:] != seal(body):
        raise DamagedError("is damaged")
    cut = content.find(f', "{until}": '.encode()) if until else -1
    try:
        record = json.loads(content[: cut if cut >= 0 else end] + b"}")
    except (ValueError, RecursionError):
        raise DamagedError("is damaged") from None
    if not isinstance(record, dict):
        raise DamagedError("is damaged")
    return record


def seal(body):
    """Return the end of a record whose text before it is `body`."""
    return f', "crc32": "{zlib.crc32(body):08x}"}}\n'.encode()


# ---- arrays -------------------------------------------------------------------------------------


def write_tree(path, owner, tree):
    """Write `tree`: nested dicts, lists and (named) tuples of arrays and plain values.

    `owner` is a text that says whose it is, for those who read it.
    """
    arrays: dict = {}
    outline = json.dumps({"run": owner, "state": _outline(tree, arrays)})
    file = io.BytesIO()
    np.savez(file, outline=np.frombuffer(outline.encode(), np.uint8), **arrays)
    content = file.getvalue()
    write(path, content + hashlib.sha256(content).digest())


def tree_of(content, owner, kinds=()):
    """Return the tree of a file's bytes; `kinds` are the named tuples in it.

    Raises
    ------
    DamagedError
        If they are not as they were written.
    ForeignError
        If they are not `owner`'s.
    ValueError, KeyError, TypeError, RecursionError
        If another release wrote them.
    """
    body, end = content[:-DIGEST], content[-DIGEST:]
    if hashlib.sha256(body).digest() != end:
        raise DamagedError("is damaged")
    with np.load(io.BytesIO(body), allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    outline = json.loads(arrays.pop("outline").tobytes())
    if outline["run"] != owner:
        raise ForeignError("is of another")
    return _filled(outline["state"], arrays, {kind.__name__: kind for kind in kinds})


def _outline(tree, arrays):
    """Return `tree` as plain values for JSON; its arrays go into `arrays` by number."""
    if isinstance(tree, np.ndarray):
        arrays[f"a{len(arrays)}"] = tree
        return {"array": f"a{len(arrays) - 1}"}
    if isinstance(tree, dict):
        return {"dict": [[key, _outline(part, arrays)] for key, part in tree.items()]}
    if isinstance(tree, tuple):
        return {type(tree).__name__: [_outline(part, arrays) for part in tree]}
    if isinstance(tree, list):
        return [_outline(part, arrays) for part in tree]
    return tree


def _filled(outline, arrays, kinds):
    """Return the tree of an outline."""
    if isinstance(outline, list):
        return [_filled(part, arrays, kinds) for part in outline]
    if not isinstance(outline, dict):
        return outline
    ((kind, content),) = outline.items()
    if kind == "array":
        return arrays[content]
    if kind == "dict":
        return {key: _filled(part, arrays, kinds) for key, part in content}
    parts = [_filled(part, arrays, kinds) for part in content]
    return tuple(parts) if kind == "tuple" else kinds[kind](*parts)


# ---- what cannot be used ------------------------------------------------------------------------


def set_aside(path, why, kind="damaged"):
    """Rename a file that cannot be used, keeping it, so that it is neither read nor in the way.

    `why`, a predicate, is logged with the new name.
    """
    path = Path(path)
    kept = path.with_name(f"{path.name}.{kind}")
    number = 1
    while os.path.lexists(kept):
        number += 1
        kept = path.with_name(f"{path.name}.{kind}-{number}")
    with suppress(FileNotFoundError):  # another process was faster
        path.replace(kept)
        log.warning("%s %s; it is kept as %s and made again", path, why, kept.name)


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and value - value != 0 else value


def shipped(folder):
    """Return the path of the shipped "data" or "experiments", in a wheel or beside the package."""
    package = importlib.resources.files("metairm_np")
    bundled = package / "bundled" / folder
    return bundled if bundled.is_dir() else package.parent / folder
