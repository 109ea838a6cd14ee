"""A training run's state on disk: a run that is cut short goes on and ends with the same bits."""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from metairm_np import _checks, _storage
from metairm_np._storage import DamagedError
from metairm_np._version import __version__
from metairm_np.optimizers import AdamState, SGDState
from metairm_np.training.audit import Audit
from metairm_np.training.holding import HoldState
from metairm_np.training.state import TrainState
from metairm_np.training.stopping import StoppingState

KINDS = (TrainState, AdamState, SGDState, StoppingState, HoldState, Audit)
TUPLES = {kind.__name__: kind for kind in KINDS}
SEAL = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Checkpoint:
    """Where a training run keeps its state, and how often.

    Parameters
    ----------
    path : path
        Of the file: npz with JSON inside, and after it the SHA-256 of both; written to a temporary
        name and renamed.
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

    def save(self, state, run: str = "") -> None:
        """Write `state`: nested dicts, lists and (named) tuples of arrays and plain values.

        `run` says which run's state it is, see `identity`.
        """
        arrays: dict = {}
        outline = json.dumps({"run": run, "state": _outline(state, arrays)})
        file = io.BytesIO()
        np.savez(file, outline=np.frombuffer(outline.encode(), np.uint8), **arrays)
        content = file.getvalue()
        _storage.write(self.path, content + hashlib.sha256(content).digest())

    def load(self, run: str = ""):
        """Return the state of `run`, or None if there is none.

        A file that is damaged, or of another run or release, is set aside, which is logged.
        """
        kind = "damaged"
        try:
            content = _storage.read_bytes(self.path)
            body, end = content[:-SEAL], content[-SEAL:]
            if hashlib.sha256(body).digest() != end:
                raise DamagedError("is damaged")
            kind = "foreign"  # it is as it was written
            with np.load(io.BytesIO(body), allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
            outline = json.loads(arrays.pop("outline").tobytes())
            if outline["run"] != run:
                raise DamagedError("is the checkpoint of another run")
            return _filled(outline["state"], arrays)
        except FileNotFoundError:
            return None
        except (DamagedError, OSError, MemoryError) as error:
            why = str(error)
        except (ValueError, KeyError, TypeError, RecursionError):
            why = "is a checkpoint of another release"
        _storage.set_aside(self.path, why, kind)
        return None


def identity(settings, engine, envs, seed, n_classes, *options) -> str:
    """Return what decides the states of a training run, as 32 hexadecimal digits.

    Parameters
    ----------
    settings : Settings
    engine : module
    envs : list of Environment
        All of them, in an order that is always the same.
    seed : int or numpy.random.SeedSequence
    n_classes : int
    *options
        What else its history and audit depend on.
    """
    sequence = getattr(seed, "entropy", seed), getattr(seed, "spawn_key", ())
    data = [(env.name, env.p_e, env.shape, str(env.dtype), _crc(env)) for env in envs]
    decides = (__version__, asdict(settings), engine.__name__, data, sequence, n_classes, options)
    return hashlib.sha256(repr(decides).encode()).hexdigest()[:32]


def _crc(env):
    """Return the CRC-32 of an environment's samples and labels."""
    crc = zlib.crc32(env.y.tobytes())
    for group in env.groups:
        for block in group.blocks:
            for part in (block.x, block.rows):
                crc = zlib.crc32(np.ascontiguousarray(part).reshape(-1).view(np.uint8), crc)
    return crc


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
