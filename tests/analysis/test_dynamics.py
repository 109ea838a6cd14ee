"""The crossing, on histories whose answer is known."""

from metairm_np.analysis.dynamics import crossing


def history(firsts, lasts, every=10):
    logged = [
        {"step": every * t, "test_accuracy": [a, 0.5, b]}
        for t, (a, b) in enumerate(zip(firsts, lasts))
    ]
    between = [{"step": every * t + 1, "validation_risk": [0.5, 0.6]} for t in range(len(firsts))]
    return sorted(logged + between, key=lambda row: row["step"])


def test_the_first_step_at_which_the_lines_have_crossed():
    found = crossing(
        history([0.5, 0.9, 0.8, 0.71, 0.6, 0.8], [0.6, 0.1, 0.5, 0.69, 0.7, 0.8]), warmup=10
    )
    assert found == {"step": 40, "accuracy": 65.0, "lingers": 20}


def test_what_happens_before_the_warmup_does_not_count():
    assert crossing(history([0.5, 0.9, 0.9], [0.6, 0.1, 0.1]), warmup=10)["step"] is None
    assert crossing(history([0.5, 0.9, 0.9], [0.6, 0.1, 0.1]), warmup=0)["step"] == 0


def test_never():
    assert crossing(history([0.9] * 9, [0.1] * 9)) == {"step": None, "accuracy": None, "lingers": 0}


def test_a_history_too_short_to_cross():
    assert crossing(history([0.9, 0.8], [0.1, 0.2]), warmup=30) == {
        "step": None,
        "accuracy": None,
        "lingers": 0,
    }
    assert crossing(history([0.9, 0.8], [0.1, 0.8]), warmup=10) == {
        "step": 10,
        "accuracy": 80.0,
        "lingers": 1,
    }
