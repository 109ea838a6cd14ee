"""What a training run carries from one step to the next, as values."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metairm_np.optimizers import AdamState, SGDState
from metairm_np.training.holding import HoldState
from metairm_np.training.stopping import StoppingState


class TrainState(NamedTuple):
    """Where a training run stands before step `step`: all that its further steps depend on.

    Parameters
    ----------
    step : int
        The number of updates so far.
    params : list of (W, b)
    optimizer : AdamState or SGDState
    stopping : StoppingState
    hold : HoldState
    noise : dict
        The stream of DropGrad's multipliers and of the sampled pairs, see `stream`.
    """

    step: int
    params: list
    optimizer: AdamState | SGDState
    stopping: StoppingState
    hold: HoldState
    noise: dict


def stream(seed):
    """Return the state of the random generator of `seed`, a `numpy.random.SeedSequence`."""
    return np.random.PCG64(seed).state


def generator(state):
    """Return the random generator whose state is `state`."""
    bits = np.random.PCG64(0)
    bits.state = state
    return np.random.Generator(bits)
