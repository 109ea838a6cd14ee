"""The state of a training run on disk, so that a run that is cut short goes on and ends with the same bits."""

import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metairm_np import _checks, _storage


@dataclass(frozen=True)
class Checkpoint:
    """Where a training run keeps its state, and how often.

    Parameters
    ----------
    path : path
        Of the file, npz with JSON inside; written to a temporary name and renamed.
    every : int >= 1
        Steps between two checkpoints.
    """

    path: Path
    every: int

    def __post_init__(self):
        _checks.count("checkpoint_every", self.every, 1)

    def due(self, step):
        """Return whether to save before step `step`."""
        return step > 0 and step % self.every == 0

    def save(self, state):
        """Write `state`, nested dicts, lists and tuples of arrays and plain values."""
        arrays, file = {}, io.BytesIO()
        outline = json.dumps(_outline(state, arrays))
        np.savez(file, outline=np.frombuffer(outline.encode(), np.uint8), **arrays)
        _storage.write(self.path, file.getvalue())

    def load(self):
        """Return the state, or None if there is no file or it is damaged; a damaged one is set aside."""
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
            return _filled(json.loads(arrays.pop("outline").tobytes()), arrays)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            _storage.set_aside(self.path)
            return None


def _outline(tree, arrays):
    """Return `tree` as plain values for JSON; its arrays go into `arrays` by number."""
    if isinstance(tree, (np.ndarray, np.generic)):
        arrays[f"a{len(arrays)}"] = np.asarray(tree)
        return {"array": f"a{len(arrays) - 1}"}
    if isinstance(tree, dict):
        return {"dict": [[key, _outline(part, arrays)] for key, part in tree.items()]}
    if isinstance(tree, (list, tuple)):
        return {type(tree).__name__: [_outline(part, arrays) for part in tree]}
    return tree


def _filled(outline, arrays):
    """Return the tree of an outline."""
    if not isinstance(outline, dict):
        return outline
    ((kind, content),) = outline.items()
    if kind == "array":
        return arrays[content]
    if kind == "dict":
        return {key: _filled(part, arrays) for key, part in content}
    parts = [_filled(part, arrays) for part in content]
    return tuple(parts) if kind == "tuple" else parts
