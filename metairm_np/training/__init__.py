"""One trial's training: any objective, any engine."""

from metairm_np.training.checkpoint import Checkpoint
from metairm_np.training.engines import ENGINES
from metairm_np.training.holding import HoldRule
from metairm_np.training.loop import RunOptions, train
from metairm_np.training.result import Result, Status
from metairm_np.training.settings import Settings
from metairm_np.training.state import TrainState
from metairm_np.training.stopping import StoppingRule

__all__ = [
    "ENGINES",
    "Checkpoint",
    "HoldRule",
    "Result",
    "RunOptions",
    "Settings",
    "Status",
    "StoppingRule",
    "TrainState",
    "train",
]
