"""A training run's state on disk: a run that is cut short goes on and ends with the same bits."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metairm_np import _checks, _storage
from metairm_np.optimizers import AdamState, SGDState
from metairm_np.training.audit import Audit
from metairm_np.training.state import TrainState
from metairm_np.training.stopping import StoppingState

TUPLES = {kind.__name__: kind for kind in (TrainState, AdamState, SGDState, StoppingState, Audit)}


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

    def due(self, step: int) -> bool:
        """Return whether to save before step `step`."""
        return step > 0 and step % self.every == 0

    def save(self, state) -> None:
        """Write `state`: nested dicts, lists and (named) tuples of arrays and plain values."""
        arrays: dict = {}
        outline, file = json.dumps(_outline(state, arrays)), io.BytesIO()
        np.savez(file, outline=np.frombuffer(outline.encode(), np.uint8), **arrays)
        _storage.write(self.path, file.getvalue())

    def load(self):
        """Return the state, or None if there is no file or it is damaged and set aside."""
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
            return _filled(json.loads(arrays.pop("outline").tobytes()), arrays)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
            _storage.set_aside(self.path)
            return None


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


def _filled(outline, arrays):
    """Return the tree of an outline."""
    if isinstance(outline, list):
        return [_filled(part, arrays) for part in outline]
    if not isinstance(outline, dict):
        return outline
    ((kind, content),) = outline.items()
    if kind == "array":
        return arrays[content]
    if kind == "dict":
        return {key: _filled(part, arrays) for key, part in content}
    parts = [_filled(part, arrays) for part in content]
    return tuple(parts) if kind == "tuple" else TUPLES[kind](*parts)
