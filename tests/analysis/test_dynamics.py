"""The crossing, on histories whose answer is known."""

import pytest

from metairm_np.analysis.dynamics import crossing

NEVER = (None, None, 0)


@pytest.mark.parametrize(
    ("firsts", "lasts", "warmup", "expected"),
    [
        ([0.5, 0.9, 0.8, 0.71, 0.6, 0.8], [0.6, 0.1, 0.5, 0.69, 0.7, 0.8], 10, (40, 65.0, 20)),
        ([0.5, 0.9, 0.9], [0.6, 0.1, 0.1], 10, NEVER),  # nothing before the warm-up counts
        ([0.5, 0.9, 0.9], [0.6, 0.1, 0.1], 0, (0, 55.0, 0)),
        ([0.9] * 9, [0.1] * 9, 30, NEVER),
        ([0.9, 0.8], [0.1, 0.2], 30, NEVER),  # too short
        ([0.9, 0.8], [0.1, 0.8], 10, (10, 80.0, 1)),
    ],
)
def test_crossing(firsts, lasts, warmup, expected):
    history = []
    for t, (first, last) in enumerate(zip(firsts, lasts)):
        history.append({"step": 10 * t, "test_accuracy": [first, 0.5, last]})
        history.append({"step": 10 * t + 1, "validation_risk": [0.5, 0.6]})
    found = crossing(history, warmup)
    assert found == dict(zip(("step", "accuracy", "lingers"), expected))
