"""The rule that lets alpha follow the gap of the training risks."""

import numpy as np
import pytest

from metairm_np.training import HoldRule
from metairm_np.training.holding import HoldState

PLAIN = HoldRule(gain=0.5, cap=0.1, smoothing=1)


def rates(rule, risks, largest=np.inf):
    state, found = HoldState(), []
    for step, risk in enumerate(risks):
        state = rule.update(state, step, risk, largest)
        found.append(state.inner_lr)
    return found


def test_alpha_waits_for_the_risks_to_part_then_sums_their_gap():
    seen = rates(PLAIN, [[0.7, 0.69], [0.6, 0.55], [0.6, 0.58], [0.6, 0.3], [0.5, 0.5]])
    np.testing.assert_allclose(seen, [0, 0.025, 0.035, 0.085, 0.085])


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_the_gap_is_negative_once_the_risks_have_changed_places(order):
    risks = [np.array([0.6, 0.5])[order], np.array([0.5, 0.54])[order], np.array([0.4, 0.9])[order]]
    np.testing.assert_allclose(rates(PLAIN, risks), [0.05, 0.03, 0], atol=1e-12)


def test_a_target_a_bound_and_a_proportional_part():
    rule = HoldRule(gain=0.5, cap=0.08, target=0.02, smoothing=1, proportional=2)
    risks = [[0.6, 0.3], [0.6, 0.57], [0.6, 0.59]]
    np.testing.assert_allclose(rates(rule, risks), [0.04 + 0.16, 0.045 + 0.02, 0.04 - 0.02])
    np.testing.assert_allclose(rates(rule, risks, 0.05), [0.05, 0.05, 0.02])


def test_risks_are_smoothed_as_the_stopping_rule_smooths_them():
    rule = HoldRule(gain=1, cap=1, smoothing=2)
    risks = [[0.6, 0.5], [0.6, 0.4], [0.5, 0.5]]
    np.testing.assert_allclose(rates(rule, risks), [0.1, 0.25, 0.325])


def test_of_environments_on_a_line_in_p_the_gap_is_that_of_the_two_farthest():
    p = np.array([0.1, 0.3, 0.2, 0.15])
    slopes = [1.0, 0.5, -0.25]
    risks = [0.4 + slope * p for slope in slopes]
    np.testing.assert_allclose(rates(PLAIN, risks), [0.05, 0.1, 0.075])
    # what is not on ERM's line is no gap: 0.1 on one of them, and as much off again
    rest = np.array([1.0, 1.0, 1.0, 1.0]) + 0.1 * np.array([1, 1, -2.0, 0])
    rest -= (rest - rest.mean()) @ (p - p.mean()) / ((p - p.mean()) ** 2).sum() * (p - p.mean())
    np.testing.assert_allclose(rates(PLAIN, [risks[0], rest]), [0.05, 0.05])


def test_what_is_not_finite_leaves_alpha_as_it_was():
    seen = rates(PLAIN, [[0.6, 0.5], [np.nan, 0.5], [np.inf, 0.5]])
    np.testing.assert_allclose(seen, 0.05)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"gain": -1}, ValueError, "gain is -1"),
        ({"cap": "much"}, TypeError, "cap is 'much'; give a number"),
        ({"target": float("nan")}, ValueError, "target is nan"),
        ({"smoothing": 0}, ValueError, "smoothing is 0"),
        ({"proportional": -0.1}, ValueError, "proportional is -0.1"),
        ({"arm": True}, TypeError, "arm is True"),
    ],
)
def test_refused(options, kind, message):
    with pytest.raises(kind, match=message):
        HoldRule(**{"gain": 0.1, "cap": 0.1, **options})
