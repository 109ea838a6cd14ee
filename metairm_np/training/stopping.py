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
    recent : array, optional
        With `line`, the risks of the last steps, (steps, environments).
    armed : bool
    weights : array, optional
        With `line`, once armed: s_t is weights @ risks.
    passed : bool
        With `line`, whether s_t has been at most the threshold, however far below.
    best : list of (W, b), optional
        The parameters with the smallest |s_t| among the candidates, None before the first of them.
    best_step : int, optional
    best_sigma : float
    """

    risks: np.ndarray | float = 0.0
    recent: np.ndarray | None = None
    armed: bool = False
    weights: np.ndarray | None = None
    passed: bool = False
    best: list | None = None
    best_step: int | None = None
    best_sigma: float = math.inf


@dataclass(frozen=True)
class StoppingRule:
    """When to stop, in terms of s_t after t updates.

    s_t is the population standard deviation of the environments' smoothed risks.

    1. The rule is armed by the first s_t >= `arm`.
    2. Before step `warmup` nothing else happens.
    3. From then on, once armed, the parameters with the smallest |s_t| so far are remembered.
    4. Training stops once s_t has been at most `threshold` and they are `patience` steps old. Then,
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
    line : int >= 0, default 0
        If given, s_t is taken on a straight line through each environment's risks at so many last
        steps instead, at its end: as quiet as an average, without its lag. And s_t gets a sign, by
        which it cannot be jumped over: that of the projection of the risks' deviations from their
        mean on those at the last step before `warmup` with s_t >= `arm`, or at the step that arms
        the rule if that is later. So s_t is negative once the environment that was the harder one
        for ERM has become the easier one. (The first parameters may lean either way.)
    samples : {"validation", "all"}, default "validation"
        Whose risks: of each training environment the held-out samples, as in the paper, or the
        training samples, too. With more samples s_t has less sampling error, which is what most of
        the spread between trials comes from (docs/notebook.md).
    target_risk : float >= 0, optional
        If given, s_t is the distance of the risks' mean from it instead: what an invariant model
        has, where equal risks are not what invariance looks like (Table 4, docs/notebook.md).
    watch : {"risk", "error"}, default "risk"
        What s_t is taken of: the risks, as in the paper, or the shares of wrong answers on the
        validation samples (the risks of the 0-1 loss; say errors for risks above). Where the effect
        of the colour varies from image to image, theta can have equal risks and lean on it by
        three points of accuracy (docs/dynamics.md).
    """

    threshold: float
    arm: float
    warmup: int = 60
    patience: int = 0
    smoothing: int = 1
    line: int = 0
    samples: str = "validation"
    target_risk: float | None = None
    watch: str = "risk"

    def __post_init__(self):
        _checks.number("threshold", self.threshold, low=0)
        _checks.number("arm", self.arm, low=self.threshold)
        for name, low in (("warmup", 0), ("patience", 0), ("smoothing", 1), ("line", 0)):
            _checks.count(name, getattr(self, name), low)
        _checks.choice("samples", self.samples, ("validation", "all"))
        _checks.choice("watch", self.watch, ("risk", "error"))
        if self.watch == "error" and (self.samples != "validation" or self.target_risk is not None):
            raise ValueError(
                'watch is "error", which is of the validation samples; leave samples and '
                "target_risk out"
            )
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
        if self.line:
            past = [] if state.recent is None else [*state.recent]
            recent = np.array([*past, risks][-self.line :], float)
            smooth = end_of_line(recent)
            state = state._replace(recent=recent)
        else:
            smooth = running_mean(state.risks, step, risks, self.smoothing)
        early = step < self.warmup
        sigma = self._sigma(smooth, None if early else state.weights)
        signed = self.line and self.target_risk is None
        if signed and sigma >= self.arm and (early or not state.armed):
            state = state._replace(weights=projection(smooth, sigma))
        state = state._replace(risks=smooth, armed=state.armed or sigma >= self.arm)
        if not early and state.armed:
            if abs(sigma) < state.best_sigma:
                state = state._replace(best=params, best_step=step, best_sigma=abs(sigma))
            state = state._replace(passed=state.passed or sigma <= self.threshold)
        return state

    def _sigma(self, risks, weights):
        """Return s_t, which has a sign if there are weights."""
        if self.target_risk is not None:
            return float(abs(np.mean(risks) - self.target_risk))
        return float(np.std(risks) if weights is None else weights @ risks)

    def stops(self, state: StoppingState, step: int) -> bool:
        """Return whether to stop at `step`, whose risks `state` has seen."""
        if state.best_step is None:
            return False
        return state.passed and step >= state.best_step + self.patience


def running_mean(mean, step, values, over):
    """Return the mean of about the last `over` values at `step`; `mean` is that of the step before.

    m <- m + (value - m) / min(t + 1, over), for each of several series.
    """
    return mean + (np.asarray(values) - mean) / min(step + 1, over)


def projection(risks, length):
    """Return weights w such that w @ risks is `length` now.

    For other risks it is their deviations from their mean, projected on what these are now.
    """
    deviations = risks - risks.mean()
    return deviations * length / (deviations @ deviations)


def end_of_line(values):
    """Return the end of the least-squares line through `values` (steps, series), one a series."""
    n = len(values)
    if n < 3:
        return np.mean(values, axis=0)
    t = np.arange(n) - (n - 1) / 2
    return values.mean(axis=0) + t @ values / (t @ t) * t[-1]


def watched(rule, row, envs, validation):
    """Return the risks or errors that `rule` is about, one for each training environment.

    `row` is one of the history, with "risk" for samples = "all".
    """
    if rule.watch == "error":
        return [1 - accuracy for accuracy in row["validation_accuracy"]]
    if rule.samples == "validation":
        return row["validation_risk"]
    shares = [len(held) / (len(env) + len(held)) for env, held in zip(envs, validation)]
    return [
        (1 - s) * risk + s * held
        for s, risk, held in zip(shares, row["risk"], row["validation_risk"])
    ]
