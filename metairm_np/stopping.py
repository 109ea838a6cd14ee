"""Early stopping where the training environments' validation risks agree.

The paper stops when the standard deviation s_t of the validation risks falls below a threshold. At step 0 all predictions
are alike, so s_0 is below any threshold that is of use; the rule therefore waits for s_t to have been large first.
"""

import math
from dataclasses import dataclass

from metairm_np import checks


@dataclass(frozen=True)
class StoppingRule:
    """When to stop, in terms of s_t, the population standard deviation of the validation risks after t updates.

    1. Nothing happens before step `warmup`.
    2. From then on the rule is armed by the first s_t >= `arm`.
    3. Once armed, the first s_t <= `threshold` makes step t a candidate, and every later smaller s_t a better one.
    4. Training stops `patience` steps after the best candidate, whose parameters are kept.

    Parameters
    ----------
    threshold : float >= 0
    arm : float >= `threshold`
    warmup : int >= 0, default 60
    patience : int >= 0, default 0
        0 stops at the first candidate.
    """

    threshold: float
    arm: float
    warmup: int = 60
    patience: int = 0

    def __post_init__(self):
        checks.number("threshold", self.threshold, low=0)
        checks.number("arm", self.arm, low=self.threshold)
        checks.count("warmup", self.warmup, 0)
        checks.count("patience", self.patience, 0)


class EarlyStopping:
    """The state of a `StoppingRule` along one training run. Before a candidate, `best` is None."""

    def __init__(self, rule):
        self.rule = rule
        self.armed = False
        self.best, self.best_step, self.best_sigma = None, None, math.inf

    def update(self, step, sigma, params):
        """Take in s_t = `sigma` and the parameters of `step`; tell whether to stop."""
        if step < self.rule.warmup:
            return False
        self.armed = self.armed or sigma >= self.rule.arm
        if self.armed and sigma <= self.rule.threshold and sigma < self.best_sigma:
            self.best, self.best_step, self.best_sigma = params, step, sigma
        return self.best is not None and step >= self.best_step + self.rule.patience
