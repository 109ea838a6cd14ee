"""One trial's training: any objective, any engine."""

from metairm_np.training.loop import ENGINES, Result, Status, train
from metairm_np.training.settings import Settings
from metairm_np.training.stopping import StoppingRule

__all__ = ["ENGINES", "Result", "Settings", "Status", "StoppingRule", "train"]
