"""Files that are never half there: each is written to a temporary name and renamed."""

import importlib.resources
import json
import secrets
import zlib
from contextlib import suppress
from pathlib import Path


def write(path, content):
    """Write text or bytes to `path`, atomically, making its folder if need be."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path, value, indent=None):
    """Write `value` as JSON, NaN and infinity as null."""
    write(path, json.dumps(_finite(value), indent=indent, allow_nan=False) + "\n")


def read_json(path):
    """Return what a JSON file holds, or None if there is none or it is damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def write_record(path, record):
    """Write a dict as JSON that ends with the CRC-32 of its text, for `read_record` to check."""
    body = json.dumps(_finite(record), allow_nan=False)[:-1].encode()
    write(path, body + seal(body))


def read_record(path, until=None):
    """Return what `write_record` wrote, or None if there is no file; set a damaged one aside.

    The key `until` and those after it are left out, which is faster where they are long; the
    checksum covers all.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        return None
    end = len(content) - len(seal(b""))
    body = memoryview(content)[:end]  # a view, as copies take longer than the checksum
    if end < 0 or content[end:] != seal(body):
        set_aside(path)
        return None
    cut = content.find(f', "{until}": '.encode()) if until else -1
    return json.loads(content[: cut if cut >= 0 else end] + b"}")


def seal(body):
    """Return the end of a record whose text before it is `body`."""
    return f', "crc32": "{zlib.crc32(body):08x}"}}\n'.encode()


def set_aside(path):
    """Rename a damaged file, keeping it, so that it is neither read again nor in the way."""
    path = Path(path)
    with suppress(FileNotFoundError):  # another process was faster
        path.replace(path.with_name(f"{path.name}.damaged"))


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
