"""Whether two sets of trials of the same experiment agree.

Each row of a table is compared for itself, an algorithm at a p_e. The verdict:

agrees
    The means are equivalent: two one-sided tests reject that they are `margin` or more apart.
differs
    Not equivalent, and a test rejects that the means are equal. The p-values of all rows are
    corrected for their number (Holm, 1979), so that trials of one and the same distribution get
    this verdict in at most 5 % of all files.
too few trials
    Neither is shown.

Each test is Welch's and Student's, and has the larger of the two p-values: Welch's alone rejects
too often where three trials happen to lie close together, Student's alone where the side with fewer
trials has the larger spread.

The Kolmogorov-Smirnov distance is beside it, for what is not in the means. It has no say: with ten
trials a side it hardly sees a spread three times as large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import special, stats

from metairm_np import _checks

AGREES, DIFFERS, TOO_FEW = "agrees", "differs", "too few trials"
LEVEL = 0.05  # of each test
POWER = 0.8  # with which the trials that are said to be needed would settle it
LEAST = 3  # trials on both sides, for a verdict
MOST = 10_000  # trials that anybody is told to train


@dataclass(frozen=True)
class Row:
    """What is found of one row, accuracies in per cent.

    Parameters
    ----------
    algorithm, p_e : str
    trials, reference_trials : int
    mean, reference_mean, spread, reference_spread : float
        The spreads are population standard deviations, as in all tables.
    difference : float
        Of the means.
    low, high : float
        Its 95 % interval (Welch), NaN if a side has one trial only.
    p_equal : float
        Of the test that the means are equal.
    p_apart : float
        Of the two one-sided tests that they are `margin` or more apart: the larger one.
    ks, p_ks : float
        The Kolmogorov-Smirnov distance of the two samples, and its p-value.
    verdict : {"agrees", "differs", "too few trials"}
    needed : int, optional
        With too few: about how many trials would settle it, if means and spreads stayed as they
        are, at most 10,000; None if nobody knows how much they vary.
    needed_of : {"one", "both"}
        Whether so many are needed of those that are compared, or of the reference, too.
    """

    algorithm: str
    p_e: str
    trials: int
    reference_trials: int
    mean: float
    reference_mean: float
    spread: float
    reference_spread: float
    difference: float
    low: float
    high: float
    p_equal: float
    p_apart: float
    ks: float
    p_ks: float
    verdict: str = TOO_FEW
    needed: int | None = None
    needed_of: str = "one"


def compare(theirs: dict, ours: dict, margin: float = 1.5) -> list[Row]:
    """Compare samples of accuracies in per cent.

    Parameters
    ----------
    theirs, ours : dict of array
        By algorithm and p_e, a pair of str; ours has all keys of theirs.
    margin : float > 0, default 1.5
        How many points the means may be apart where they count as equivalent.

    Returns
    -------
    list of Row
        In the order of ours.

    Raises
    ------
    ValueError, TypeError
        If the margin is no number above 0.
    """
    _checks.number("margin", margin, low=0)
    if margin == 0:
        raise ValueError(
            "margin is 0, and no two means are as close; give some points, such as 1.5"
        )
    keys = [key for key in ours if key in theirs]
    rows = [_measured(key, np.array(theirs[key]), np.array(ours[key]), margin) for key in keys]
    unequal = holm([row.p_equal for row in rows])
    judged = [_judged(*pair) for pair in zip(rows, unequal)]
    level = LEVEL / max(len(rows), 1)
    return [
        _with_needed(row, np.array(theirs[key]), np.array(ours[key]), margin, level)
        if row.verdict == TOO_FEW
        else row
        for key, row in zip(keys, judged)
    ]


def holm(p_values: list, level: float = LEVEL) -> list[bool]:
    """Return which of several hypotheses are rejected, at `level` for all of them together."""
    rejected = [False] * len(p_values)
    for place, which in enumerate(np.argsort(p_values, kind="stable")):
        if not p_values[which] <= level / (len(p_values) - place):
            break
        rejected[which] = True
    return rejected


def _measured(key, theirs, ours, margin):
    """Return the Row of two samples, without its verdict."""
    difference = float(theirs.mean() - ours.mean())
    error, dof = welch(theirs, ours)
    half = t_quantile(LEVEL / 2, dof) * error if error > 0 else error
    tests = [(error, dof), student(theirs, ours)]
    ks = stats.ks_2samp(theirs, ours)
    return Row(
        *key,
        len(theirs),
        len(ours),
        *map(float, (theirs.mean(), ours.mean(), theirs.std(), ours.std())),
        difference,
        difference - half,
        difference + half,
        min(1.0, 2 * p_value(-abs(difference), tests)),
        p_value(abs(difference) - margin, tests),
        *map(float, (ks.statistic, ks.pvalue)),
    )


def p_value(gap, tests):
    """Return how probable a gap at or below this one is if the true one is 0: the largest of tests.

    1 if a sample is of one number, so that nobody knows how much it varies.
    """
    if any(math.isnan(error) for error, _ in tests):
        return 1.0
    if any(error == 0 for error, _ in tests):  # neither sample varies
        return float(gap >= 0)
    return float(max(special.stdtr(dof, gap / error) for error, dof in tests))


def welch(a, b):
    """Return the standard error of a difference of means and its degrees of freedom, or NaN."""
    if min(len(a), len(b)) < 2:
        return math.nan, math.nan
    return error_of(a.var(ddof=1) / len(a), b.var(ddof=1) / len(b), len(a), len(b))


def student(a, b):
    """Return the same if both samples have one variance."""
    n, m = len(a), len(b)
    if min(n, m) < 2:
        return math.nan, math.nan
    pooled = (n * a.var() + m * b.var()) / (n + m - 2)
    return (pooled * (1 / n + 1 / m)) ** 0.5, n + m - 2


def error_of(u, v, n, m):
    """Return the standard error and degrees of freedom; u and v are the variances of the means."""
    if u + v == 0:
        return 0.0, math.inf
    return (u + v) ** 0.5, (u + v) ** 2 / (u**2 / (n - 1) + v**2 / (m - 1))


def t_quantile(level, dof):
    """Return what Student's t exceeds with the probability `level`."""
    return -special.stdtrit(dof, level)


def _judged(row, unequal):
    """Return a row with its verdict; `unequal` is whether its means are, other rows considered."""
    if min(row.trials, row.reference_trials) < LEAST:
        return row
    if row.p_apart <= LEVEL:
        return replace(row, verdict=AGREES)
    return replace(row, verdict=DIFFERS) if unequal else row


# ---- how many trials would be enough -------------------------------------------------------------


def _with_needed(row, theirs, ours, margin, level):
    """Return a row with the number of trials that would settle it."""
    variances = [sample.var(ddof=1) for sample in (theirs, ours) if len(sample) > 1]
    if not variances:
        return row
    known = (variances[0], variances[-1])  # one trial is taken to vary as the others do
    gap, n, m = abs(row.difference), len(theirs), len(ours)

    def settled(n, m):
        return settles(gap, error_of(known[0] / n, known[1] / m, n, m), margin, level)

    if m >= LEAST and settled(MOST, m):
        return replace(row, needed=first(lambda k: settled(k, m), max(n + 1, LEAST)))
    needed = first(lambda k: settled(k, k), max(min(n, m) + 1, LEAST))
    return replace(row, needed=needed, needed_of="both")


def settles(gap, welch, margin, level):
    """Return whether such a difference of means would be found equivalent, or else unequal.

    That is, with a probability of `POWER` or more if `gap` were the true difference.
    """
    error, dof = welch
    if error == 0:
        return True
    equivalent = t_quantile(LEVEL, dof) + t_quantile((1 - POWER) / 2, dof)
    unequal = t_quantile(level / 2, dof) + t_quantile(1 - POWER, dof)
    return margin - gap >= equivalent * error or gap >= unequal * error


def first(holds, start):
    """Return the first number from `start` to MOST for which something holds for good, or MOST."""
    low, high = start - 1, MOST  # it does not hold, or is not asked, at low
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
