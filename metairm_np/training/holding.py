"""Meta-IRM's inner rate alpha, driven by how far the training environments' risks are apart.

With alpha = 0 meta-IRM is ERM; the larger alpha, the more of the spurious feature theta leaves to
the inner step. Here alpha is raised while the risks differ, no further once they agree, and lowered
beyond. What that does, and that theta does not stay there for good, is in docs/dynamics.md.

Which environment's risk has to be the larger one is read off ERM, without test data: the weights of
the gap are taken while alpha is still 0, from the first risks that are clearly apart. They stay
right for every theta if the environments mix the same two distributions, in which the spurious
feature agrees with the label or does not, in different shares p_e. Each risk is then (1 - p_e) A +
p_e B, whatever A and B are for the theta at hand: the risks of all environments lie on a line in
p_e, and training moves only the sign and the size of its slope. The gap is that slope, fitted by
least squares, times the range of p_e.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from metairm_np import _checks
from metairm_np.training.stopping import projection, running_mean


class HoldState(NamedTuple):
    """What a `HoldRule` has seen so far, and the alpha that follows.

    Parameters
    ----------
    risks : array
        The smoothed risks, one per environment.
    weights : array, optional
        The gap is weights @ risks; None while alpha waits for them.
    integral : float
        The sum of the steps' contributions.
    inner_lr : float
        alpha.
    """

    risks: np.ndarray | float = 0.0
    weights: np.ndarray | None = None
    integral: float = 0.0
    inner_lr: float = 0.0


@dataclass(frozen=True)
class HoldRule:
    """How alpha follows the gap of the training risks, from 0 at the first step on.

    1. Each risk is averaged over about `smoothing` steps, m <- m + (risk - m) / min(t + 1,
       smoothing).
    2. alpha stays 0 until the smoothed risks are `arm` apart. That difference is ERM's, and the gap
       is from then on how much of it is left: for two environments the risk that was the larger one
       minus the other, negative if they have changed places; for more, the difference between the
       two farthest, fitted to all (the risks' deviations from their mean are projected on what they
       were).
    3. From then on, with e = min(gap - target, cap), s <- s + gain * e each step, not below 0 or
       above the largest alpha allowed, and alpha = s + proportional * e within the same limits.

    Parameters
    ----------
    gain : float >= 0
    cap : float >= 0
        Limits how fast alpha grows, by gain * cap a step at most, and not how fast it falls.
    target : float, default 0
        The gap at which alpha rests; above 0 theta keeps a little of the spurious feature.
    smoothing : int >= 1, default 5
    proportional : float >= 0, default 0
        Lets alpha give way while the gap closes, before it is closed. Without it alpha swings: the
        larger alpha, the *faster* theta gives the colour up, so that the gap sums up what alpha is
        too large, and alpha in turn sums up the gap.
    arm : float >= 0, default 0.03
        Far above the sampling error of a difference of risks, and far below ERM's.
    """

    gain: float
    cap: float
    target: float = 0.0
    smoothing: int = 5
    proportional: float = 0.0
    arm: float = 0.03

    def __post_init__(self):
        for name in ("gain", "cap", "proportional", "arm"):
            _checks.number(name, getattr(self, name), low=0)
        _checks.number("target", self.target)
        _checks.count("smoothing", self.smoothing, 1)

    def update(self, state: HoldState, step: int, risks, largest: float) -> HoldState:
        """Return the state at `step`, to be called at every step from 0 on.

        Parameters
        ----------
        state : HoldState
            `HoldState()` before step 0.
        step : int
        risks : sequence of float
            The training environments' risks.
        largest : float
            The largest alpha allowed.

        Returns
        -------
        HoldState
        """
        smooth = running_mean(state.risks, step, risks, self.smoothing)
        if not np.isfinite(smooth).all():  # training is about to end: alpha stays a number
            return state
        weights = state.weights
        if weights is None:
            apart = np.ptp(smooth)
            if apart <= self.arm:
                return state._replace(risks=smooth)
            weights = projection(smooth, apart)
        excess = min(float(weights @ smooth) - self.target, self.cap)
        integral = min(max(state.integral + self.gain * excess, 0.0), largest)
        inner_lr = min(max(integral + self.proportional * excess, 0.0), largest)
        return HoldState(smooth, weights, integral, inner_lr)
