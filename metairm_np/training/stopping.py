"""Early stopping where the training environments' risks agree.

The paper stops when the standard deviation s_t of the validation risks falls below a threshold. At
step 0 all predictions are alike, so s_0 is below any threshold that is of use; the rule therefore
waits for s_t to have been large first.
"""

import math
from dataclasses import dataclass

import numpy as np

from metairm_np import _checks


@dataclass(frozen=True)
class StoppingRule:
    """When to stop, in terms of s_t, the population standard deviation of the environments' smoothed risks after t updates.

    1. The rule is armed by the first s_t >= `arm`.
    2. Before step `warmup` nothing else happens.
    3. From then on, once armed, the parameters with the smallest s_t so far are remembered.
    4. Training stops once that smallest s_t is at most `threshold` and `patience` steps old. Then, and if the steps run out
       before, the remembered parameters are the result.

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
        _checks.count("warmup", self.warmup, 0)
        _checks.count("patience", self.patience, 0)
        _checks.count("smoothing", self.smoothing, 1)
        _checks.choice("samples", self.samples, ("validation", "all"))
        if self.target_risk is not None:
            _checks.number("target_risk", self.target_risk, low=0)


class EarlyStopping:
    """The state of a `StoppingRule` along one training run; `best` is None until there is something to remember."""

    def __init__(self, rule):
        self.rule = rule
        self.risks, self.armed = 0.0, False
        self.best, self.best_step, self.best_sigma = None, None, math.inf

    def update(self, step, risks, params):
        """Take in the environments' risks and the parameters of `step`, every step from 0 on; tell whether to stop."""
        self.risks = self.risks + (np.asarray(risks) - self.risks) / min(
            step + 1, self.rule.smoothing
        )
        target = self.rule.target_risk
        sigma = np.std(self.risks) if target is None else abs(np.mean(self.risks) - target)
        self.armed = self.armed or bool(sigma >= self.rule.arm)
        if step < self.rule.warmup:
            return False
        if self.armed and sigma < self.best_sigma:
            self.best, self.best_step, self.best_sigma = params, step, sigma
        return (
            self.best_sigma <= self.rule.threshold and step >= self.best_step + self.rule.patience
        )
