"""Files of a run folder, each written to a temporary name and renamed, so that none is ever half there."""

import hashlib
import json
import os
from pathlib import Path


def write(path, content):
    """Write text or bytes to `path`, atomically, making its folder if need be."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path, value, indent=None):
    """Write `value` as JSON, NaN and infinity as null."""
    write(path, json.dumps(_finite(value), indent=indent, allow_nan=False) + "\n")


def read_json(path):
    """Read a JSON file, or give None if there is none or it is damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def write_record(path, record):
    """Write a dict as JSON with its own checksum, so that `read_record` notices any damage."""
    record = _finite(record)
    write_json(path, {**record, "sha256": _digest(record)})


def read_record(path):
    """Read what `write_record` wrote, without the checksum, or give None if there is no file; a damaged one is set aside."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        if record.pop("sha256") == _digest(record):
            return record
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        pass  # no JSON, no checksum, no dict
    set_aside(path)
    return None


def _digest(record):
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def set_aside(path):
    """Rename a damaged file, keeping it, so that it is neither read again nor in the way."""
    path = Path(path)
    path.replace(path.with_name(f"{path.name}.damaged"))


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and value - value != 0 else value
