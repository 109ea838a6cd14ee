"""The early-stopping rule on sequences whose answer is known."""

import numpy as np
import pytest

from metairm_np.training import StoppingRule
from metairm_np.training.stopping import StoppingState, end_of_line


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


LINE = StoppingRule(threshold=0.1, arm=2.0, warmup=4, line=3)


def both(sigmas, scale=(-1, 1)):
    return [[sigma * part for part in scale] for sigma in sigmas]


@pytest.mark.parametrize("scale", [(-1, 1), (1, -1)])
def test_on_a_line_there_is_no_lag_and_s_has_a_sign(scale):
    falling = [3, 3, 3, 2.5, 2, 1.5, 1, 0.5, 0, -0.5]
    assert stop(LINE, both(falling, scale)) == (8, 8)
    # what was nearest is kept, though it has been passed by far
    assert stop(LINE, both([3, 3, 3, 3, 3, 3, -9], scale)) == (6, 4)
    assert stop(LINE, both([3] * 5 + [2, 1.1, 0.3, -1, -1], scale)) == (8, 7)


def test_the_end_of_a_line():
    t = np.arange(5.0)
    noise = np.array([1, -2, 0, 2, -1.0])  # has neither mean nor slope
    values = np.stack([3 - t + noise, t**0, 2 * t], axis=1)
    np.testing.assert_allclose(end_of_line(values), [-1, 1, 8])
    np.testing.assert_allclose(end_of_line(values[:2]), values[:2].mean(axis=0))


def test_the_sign_is_that_of_the_projection_on_what_armed_the_rule():
    rule = StoppingRule(threshold=0.1, arm=2.0, warmup=0, line=1)
    state = StoppingState()
    first, then = np.array([0.0, 3, 6]), np.array([2.0, 1, 0])
    for t, risks in enumerate((first, then)):
        state = rule.update(state, t, risks, t)
    assert state.weights @ first == pytest.approx(np.std(first))
    assert state.weights @ then == pytest.approx(-np.std(then))  # the same line, the other way
    assert rule.stops(state, 1)


def test_the_sign_is_not_that_of_the_first_parameters():
    wrong_first = [[3, 0], [2, 0], [0, 2], [0, 3], [0, 3], [0, 3], [0, 2], [0, 0.2], [0.5, 0]]
    rule = StoppingRule(threshold=0.2, arm=1.0, warmup=4, line=1)
    assert stop(rule, wrong_first) == (7, 7)
    late = [[1, 0], [0.5, 0], [0, 0.5], [0, 1], [0, 1], [0, 3], [0, 2], [0, 0.2], [0.5, 0]]
    assert stop(rule, late) == (7, 7)


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
        ({"line": -1}, "line is -1"),
        ({"target_risk": -1}, "target_risk is -1"),
        ({"watch": "loss"}, "unknown watch 'loss'; Known: error, risk"),
        ({"watch": "error", "samples": "all"}, "leave samples and target_risk out"),
        ({"watch": "error", "target_risk": 0.7}, "leave samples and target_risk out"),
    ],
)
def test_refused(options, message):
    with pytest.raises(ValueError, match=message):
        StoppingRule(**{"threshold": 1, "arm": 1, **options})
