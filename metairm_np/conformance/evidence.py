"""What was asked of a backend, and whether a mistake's answer is the backend's."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import autograd
import numpy as np

from metairm_np._autodiff import tree_map
from metairm_np.conformance.stages import STAGES

CLOSER = 0.1  # a mistake's answer has to be at least ten times as near as the right one
ROOM = 4  # and as near as this many times what a right answer may be off,
LEFT = 1e-3  # or leave no more than this share of the difference


@dataclass
class Evidence:
    """All that was asked of a backend.

    Attributes
    ----------
    known : dict of str to Solved
        The cases by name.
    outcomes : list of Outcome
        Without those that were left out.
    dtype : str
    ask : function (Solved, stage, dtype) -> Outcome
        Asks the backend again.
    """

    known: dict
    outcomes: list
    dtype: str
    ask: Callable

    def solved(self, outcome):
        """Return the case of an outcome."""
        return self.known[outcome.case]

    def fits(self, mistaken, outcome):
        """Return whether a wrong copy of the spec answers as the backend does."""
        solved = self.solved(outcome)
        return fits(outcome, solved, mistaken_answer(mistaken, solved, outcome.stage))

    def shows(self, mistaken, outcome):
        """Return whether a wrong copy's answer is not the right one."""
        solved, stage = self.solved(outcome), outcome.stage
        answer = mistaken_answer(mistaken, solved, stage)
        if answer is None:
            return True
        return apart(answer, solved.answers[stage], solved.scales[stage]) > ROOM * outcome.allowed

    def value_fits(self, mistaken, outcome):
        """Return whether a wrong copy may answer as the backend, by the objective's value alone.

        That is several times as cheap as the gradient. Where it says nothing it is true.
        """
        if "value" not in outcome.differences:
            return True
        solved, stage = self.solved(outcome), outcome.stage
        own = {"value": solved.scales[stage]["value"]}
        answer = mistaken_value(mistaken, solved, stage)
        if answer is None:
            return False
        if not np.isfinite(outcome.answer["value"]):
            return not np.isfinite(answer["value"])
        left = apart(outcome.answer, answer, own)
        return left <= max(ROOM * outcome.allowed, LEFT * outcome.differences["value"])

    def cost(self, outcome):
        """Return about how expensive it is to ask for an outcome once more."""
        case = self.solved(outcome).case
        size = sum(part.size for pair in case.params for part in pair)
        steps = case.meta.get("inner_steps", 1)
        if outcome.stage in ("sgd", "adam"):
            steps *= case.steps * (20 if case.objective == "meta_irm" else 1)
        return (50 + size) * steps * len(case.envs) ** 2


@lru_cache(maxsize=100_000)
def mistaken_answer(mistaken, solved, stage):
    """Return what a wrong copy of the spec answers, or None if it raises an error."""
    try:
        with np.errstate(all="ignore"):
            answer = STAGES[stage].ask(mistaken, solved.case)
            return {key: np.asarray(part, np.float64) for key, part in answer.items()}
    except Exception:
        return None


class Forward:
    """Stands for autograd where only values are needed: the outer gradient is left at 0."""

    grad = staticmethod(autograd.grad)
    make_hvp = staticmethod(autograd.make_hvp)

    @staticmethod
    def value_and_grad(objective):
        """Return the function of params that gives the value, and zeros for the gradient."""
        return lambda params: (objective(params), tree_map(np.zeros_like, params))


@lru_cache(maxsize=100_000)
def mistaken_value(mistaken, solved, stage):
    """Return what `mistaken_answer` does, with a gradient that may be 0."""
    mistaken.autograd = Forward
    try:
        return mistaken_answer.__wrapped__(mistaken, solved, stage)
    finally:
        mistaken.autograd = autograd


def apart(answer, other, scales):
    """Return the largest difference of two answers in units of the scale, NaN equal to NaN.

    It is infinite if their shapes differ.
    """
    worst = 0.0
    for key, scale in scales.items():
        if key not in answer or np.shape(answer[key]) != np.shape(other[key]):
            return np.inf
        a, b = np.asarray(answer[key], np.float64), other[key]
        finite = np.isfinite(b)
        if not np.array_equal(np.isfinite(a), finite):
            return np.inf
        larger = np.abs(b[finite]).max(initial=scale) or 1.0
        worst = max(worst, float(np.abs(a[finite] - b[finite]).max(initial=0.0) / larger))
    return worst


def fits(outcome, solved, mistaken):
    """Return whether a wrong answer is the mistaken one, with almost nothing left unexplained."""
    if mistaken is None or outcome.answer is None:
        return mistaken is None and outcome.answer is None
    left = apart(outcome.answer, mistaken, solved.scales[outcome.stage])
    to_right = max(outcome.differences.values(), default=np.inf)
    if not np.isfinite(to_right):  # NaN, or another shape: how far off it is cannot be said
        return left <= ROOM * outcome.allowed
    if to_right <= ROOM * outcome.allowed:  # hardly wrong
        return left <= outcome.allowed
    return left <= CLOSER * to_right and left <= max(ROOM * outcome.allowed, LEFT * to_right)
