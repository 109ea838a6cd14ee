"""The golden vectors are right: recomputed to fifty digits without automatic differentiation."""

from dataclasses import replace
from functools import cache

import pytest

from metairm_np.conformance import vectors

mpmath = pytest.importorskip("mpmath", reason="mpmath is not installed: pip install mpmath")

from fifty_digits import CASES, Equations, H, certain, digits  # noqa: E402 - it needs mpmath

LEAST = 14


@cache
def exact(name, h=H):
    return Equations(vectors.load()[name].case, h).answers()


def uncertain(solved):
    """Return the arrays with fewer certain digits than `LEAST`, as text."""
    found = certain(solved, exact(solved.case.name))
    return [
        f"{stage}/{name}: {d:.1f} digits"
        for stage, parts in found.items()
        for name, d in parts.items()
        if not d >= LEAST
    ]


@pytest.mark.parametrize("name", CASES)
def test_golden_vectors_are_certain(name):
    solved = vectors.load()[name]
    assert {stage: set(parts) for stage, parts in solved.answers.items()} == {
        k: set(v) for k, v in exact(name).items()
    }
    assert not uncertain(solved), name


@pytest.mark.parametrize("name", ["binary_linear", "saturated"])
def test_fifty_digits_stay_when_the_step_is_halved(name):
    scales = vectors.load()[name].scales
    for stage, parts in exact(name, H / 2).items():
        for key, part in parts.items():
            change = max(abs(a - b) for a, b in zip(part, exact(name)[stage][key], strict=True))
            assert change < mpmath.mpf(10) ** -50 * scales[stage][key], f"{stage}/{key}"


@pytest.mark.parametrize("stage", vectors.load()["binary_linear"].answers)
def test_a_change_in_the_twelfth_digit_is_seen(stage):
    solved = vectors.load()["binary_linear"]
    for name, part in solved.answers[stage].items():
        wrong = part.copy()
        wrong.flat[abs(part).argmax()] *= 1 + 1e-12
        answers = {**solved.answers, stage: {**solved.answers[stage], name: wrong}}
        (report,) = uncertain(replace(solved, answers=answers))
        assert report.startswith(f"{stage}/{name}: 1")


def test_what_has_no_digits_is_not_certain():
    assert digits(float("nan"), [mpmath.mpf(0)], 1.0) < LEAST
    assert digits(1e-30, [mpmath.mpf(0)], 0.0) < LEAST  # off where nothing may be off
