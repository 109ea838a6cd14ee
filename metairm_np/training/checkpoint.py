"""A training run's state on disk: a run that is cut short goes on and ends with the same bits."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from metairm_np import _checks, _storage
from metairm_np._storage import DamagedError, ForeignError
from metairm_np._version import __version__
from metairm_np.optimizers import AdamState, SGDState
from metairm_np.training.audit import Audit
from metairm_np.training.holding import HoldState
from metairm_np.training.state import TrainState
from metairm_np.training.stopping import StoppingState

KINDS = (TrainState, AdamState, SGDState, StoppingState, HoldState, Audit)


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
        _storage.write_tree(self.path, run, state)

    def load(self, run: str = ""):
        """Return the state of `run`, or None if there is none.

        A file that is damaged, or of another run or release, is set aside, which is logged.
        """
        kind = "foreign"  # it is as it was written
        try:
            return _storage.tree_of(_storage.read_bytes(self.path), run, KINDS)
        except FileNotFoundError:
            return None
        except (DamagedError, OSError, MemoryError) as error:
            why, kind = str(error), "damaged"
        except ForeignError:
            why = "is the checkpoint of another run"
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
    if env.drawn_from:
        source, rows = env.drawn_from
        return zlib.crc32(rows.tobytes(), crc ^ _crc(source))
    for group in env.groups:
        for block in group.blocks:
            for part in (block.x, block.rows):
                crc = zlib.crc32(np.ascontiguousarray(part).reshape(-1).view(np.uint8), crc)
    return crc
