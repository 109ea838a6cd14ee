"""The early-stopping rule on sequences whose answer is known."""

import numpy as np
import pytest

from metairm_np.training import StoppingRule
from metairm_np.training.stopping import StoppingState


def stop(rule, risks):
    """Return (step at which it stops or None, step kept or None); step t has the parameters t."""
    state = StoppingState()
    for t, both in enumerate(risks):
        state = rule.update(state, t, both, t)
        if rule.stops(state, t):
            return t, state.best
    return None, state.best


RULE = StoppingRule(threshold=1.0, arm=4.0, warmup=2, patience=0)


@pytest.mark.parametrize(
    ("rule", "sigmas", "expected"),
    [
        (RULE, [0, 0, 0, 0, 0], (None, None)),  # small from the start: never armed
        # armed before the warm-up's end, and stops at the end at the earliest
        (RULE, [9, 9, 0.5, 0.5], (2, 2)),
        (RULE, [0, 0, 3.9, 0.5], (None, None)),  # large, but not enough
        (RULE, [0, 0, 4.0, 0.5], (3, 3)),  # armed at exactly `arm`
        (RULE, [0, 0, 5, 3, 1.0, 0.5], (4, 4)),  # stops at exactly `threshold`
        (RULE, [0, 0, 5, 3, 1.1, 2], (None, 4)),  # never small enough to stop: the smallest is kept
        # patience counts from the best candidate
        (StoppingRule(1, 4, 0, 2), [5, 0.9, 0.5, 0.7, 3, 0.1], (4, 2)),
        # each better candidate restarts it
        (StoppingRule(1, 4, 0, 2), [5, 0.9, 2, 0.8, 2, 0.7, 2, 2], (7, 5)),
        # the steps run out first: the best is still known
        (StoppingRule(1, 4, 0, 9), [5, 0.9, 0.5, 0.7], (None, 2)),
        (RULE, [0, 0, float("nan"), 0.5], (None, None)),
    ],
)
def test_rule(rule, sigmas, expected):
    assert stop(rule, [[-sigma, sigma] for sigma in sigmas]) == expected


def test_smoothing_averages_the_risks_and_not_their_spread():
    rule = StoppingRule(threshold=0.1, arm=1.0, warmup=1, patience=1, smoothing=2)
    risks = [[0, 4], [0, 4], [4, 0], [2, 2], [2, 1.9], [0, 4]]
    # averaged: [0, 4], [0, 4], [2, 2], [2, 2]; the risks at step 2 differ, their averages do not
    assert stop(rule, risks) == (3, 2)
    state = rule.update(rule.update(StoppingState(), 0, risks[0], []), 1, [1, 5], [])
    np.testing.assert_array_equal(state.risks, [0.5, 4.5])


def test_a_target_is_met_by_the_mean_risk_and_not_by_the_spread():
    rule = StoppingRule(threshold=0.1, arm=1.0, warmup=0, target_risk=2.0)
    # at step 0 it is not armed
    assert stop(rule, [[2, 2], [0, 0], [1, 1], [1, 3], [2, 2]]) == (3, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": -1}, "threshold is -1"),
        ({"threshold": 2}, "arm is 1; give a finite number >= 2"),
        ({"warmup": -1}, "warmup is -1"),
        ({"samples": "some"}, "samples"),
        ({"patience": -1}, "patience is -1"),
        ({"smoothing": 0}, "smoothing is 0"),
        ({"target_risk": -1}, "target_risk is -1"),
    ],
)
def test_refused(options, message):
    with pytest.raises(ValueError, match=message):
        StoppingRule(**{"threshold": 1, "arm": 1, **options})
