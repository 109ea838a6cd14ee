"""Early stopping where the training environments' risks agree.

The paper stops when the standard deviation s_t of the validation risks falls below a threshold. At
step 0 all predictions are alike, so s_0 is below any threshold that is of use; the rule therefore
waits for s_t to have been large first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from metairm_np import _checks


class StoppingState(NamedTuple):
    """What a `StoppingRule` has seen so far.

    Parameters
    ----------
    risks : array
        The smoothed risks, one per environment.
    armed : bool
    best : list of (W, b), optional
        The parameters with the smallest s_t among the candidates, None before the first of them.
    best_step : int, optional
    best_sigma : float
    """

    risks: np.ndarray | float = 0.0
    armed: bool = False
    best: list | None = None
    best_step: int | None = None
    best_sigma: float = math.inf


@dataclass(frozen=True)
class StoppingRule:
    """When to stop, in terms of s_t after t updates.

    s_t is the population standard deviation of the environments' smoothed risks.

    1. The rule is armed by the first s_t >= `arm`.
    2. Before step `warmup` nothing else happens.
    3. From then on, once armed, the parameters with the smallest s_t so far are remembered.
    4. Training stops once that smallest s_t is at most `threshold` and `patience` steps old. Then,
       and if the steps run out before, the remembered parameters are the result.

    Parameters
    ----------
    threshold : float >= 0
    arm : float >= `threshold`
    warmup : int >= 0, default 60
    patience : int >= 0, default 0
        0 stops at the first s_t <= `threshold`.
    smoothing : int >= 1, default 1
        Each risk is averaged over about so many steps before s_t is taken, m <- m + (risk - m) /
        min(t + 1, smoothing), because DropGrad makes single steps jump; 1 means no smoothing.
    samples : {"validation", "all"}, default "validation"
        Whose risks: of each training environment the held-out samples, as in the paper, or the
        training samples, too. With more samples s_t has less sampling error, which is what most of
        the spread between trials comes from (docs/notebook.md).
    target_risk : float >= 0, optional
        If given, s_t is the distance of the risks' mean from it instead: ln 2, the risk of a coin,
        where two environments are mirror images of each other and their risks agree whatever the
        model (Table 4, docs/notebook.md).
    """

    threshold: float
    arm: float
    warmup: int = 60
    patience: int = 0
    smoothing: int = 1
    samples: str = "validation"
    target_risk: float | None = None

    def __post_init__(self):
        _checks.number("threshold", self.threshold, low=0)
        _checks.number("arm", self.arm, low=self.threshold)
        for name, low in (("warmup", 0), ("patience", 0), ("smoothing", 1)):
            _checks.count(name, getattr(self, name), low)
        _checks.choice("samples", self.samples, ("validation", "all"))
        if self.target_risk is not None:
            _checks.number("target_risk", self.target_risk, low=0)

    def update(self, state: StoppingState, step: int, risks, params: list) -> StoppingState:
        """Return the state after `step`, to be called at every step from 0 on.

        Parameters
        ----------
        state : StoppingState
            `StoppingState()` before step 0.
        step : int
        risks : sequence of float
            The environments' risks under `params`.
        params : list of (W, b)

        Returns
        -------
        StoppingState
        """
        smooth = state.risks + (np.asarray(risks) - state.risks) / min(step + 1, self.smoothing)
        target = self.target_risk
        sigma = float(np.std(smooth) if target is None else abs(np.mean(smooth) - target))
        state = state._replace(risks=smooth, armed=state.armed or sigma >= self.arm)
        if step >= self.warmup and state.armed and sigma < state.best_sigma:
            state = state._replace(best=params, best_step=step, best_sigma=sigma)
        return state

    def stops(self, state: StoppingState, step: int) -> bool:
        """Return whether to stop at `step`, whose risks `state` has seen."""
        if state.best_step is None:
            return False
        return state.best_sigma <= self.threshold and step >= state.best_step + self.patience


def watched_risks(rule, risks, envs, validation):
    """Return the risks that `rule` is about, one for each training environment.

    `risks` is a row of the history, with "validation_risk" and, for samples = "all", "risk".
    """
    if rule.samples == "validation":
        return risks["validation_risk"]
    shares = [len(held) / (len(env) + len(held)) for env, held in zip(envs, validation)]
    return [
        (1 - s) * risk + s * held
        for s, risk, held in zip(shares, risks["risk"], risks["validation_risk"])
    ]
