"""Somebody's trials beside the reference's: what is compared, as values, as text and as JSON."""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from metairm_np import _checks
from metairm_np.conformance.trainings import comparison, results
from metairm_np.conformance.trainings.comparison import AGREES, DIFFERS, TOO_FEW, Row
from metairm_np.conformance.trainings.results import Results

STATUS = {AGREES: 0, DIFFERS: 1, TOO_FEW: 3}  # 2: could not run
HEAD = (
    *("algorithm", "p_e", "yours", "trials", "reference", "trials"),
    *("difference [95 %]", "p apart", "KS", "p KS", "verdict"),
)
WIDTH = 100


@dataclass(frozen=True)
class Convergence:
    """What `check_results` found.

    Parameters
    ----------
    theirs, reference : Results
    margin : float
    rows : list of Row
        One for each algorithm and p_e that both have.
    """

    theirs: Results
    reference: Results
    margin: float
    rows: list[Row]

    @property
    def verdict(self) -> str:
        """That of all rows: the worst that one of them has."""
        found = {row.verdict for row in self.rows}
        return next(one for one in (DIFFERS, TOO_FEW, AGREES) if one in found)

    @property
    def not_compared(self) -> list[str]:
        """What only the reference has."""
        missing = [key for key in self.reference.accuracies if key not in self.theirs.accuracies]
        names = {algorithm for algorithm, _ in self.theirs.accuracies}
        whole = dict.fromkeys(algorithm for algorithm, _ in missing if algorithm not in names)
        return [*whole, *(f"{name} at p_e = {p_e}" for name, p_e in missing if name in names)]

    @property
    def otherwise_distributed(self) -> list[str]:
        """The rows whose means agree and whose distributions differ all the same."""
        agreeing = [row for row in self.rows if row.verdict == AGREES]
        differ = comparison.holm([row.p_ks for row in agreeing])
        return [f"{row.algorithm} at {row.p_e}" for row, one in zip(agreeing, differ) if one]

    def text(self) -> str:
        """Return the report."""
        few = [row.needed for row in self.rows if row.verdict == TOO_FEW]
        parts = [
            f"{self.theirs.source} against {self.reference.source}: test accuracy in per cent, "
            f"margin {self.margin:g} points",
            *_left_out("yours", self.theirs),
            *_left_out("the reference", self.reference),
            "",
            _table([HEAD, *map(_cells, self.rows)]),
            "",
            f"{_counted(self.rows)}.",
        ]
        notes = []
        if few:
            notes.append(
                '"of yours": about so many trials of yours would settle it, "each": of yours and '
                "of the reference; if means and spreads stay as they are."
            )
        if self.otherwise_distributed:
            notes.append(
                "The means agree, the distributions differ (Kolmogorov-Smirnov): "
                f"{', '.join(self.otherwise_distributed)}."
            )
        if self.not_compared:
            notes.append(f"Not compared, as only the reference has it: {_some(self.not_compared)}.")
        return "\n".join([*parts, *(textwrap.fill(note, WIDTH) for note in notes)])

    def as_dict(self) -> dict:
        """Return all of it, fit for JSON."""
        return {
            "verdict": self.verdict,
            "margin": self.margin,
            "results": self.theirs.source,
            "against": self.reference.source,
            "left_out": {"results": self.theirs.left_out, "against": self.reference.left_out},
            "not_compared": self.not_compared,
            "rows": [asdict(row) for row in self.rows],
        }


def check_results(path: str | Path, against: str, margin: float = 1.5) -> Convergence:
    """Compare the trials in a file with the reference's.

    Parameters
    ----------
    path : str or path
        Of a file or run folder, see `metairm_np.conformance.trainings.results.read`.
    against : str
        An experiment whose results are committed, or a table or figure of the paper; or a path.
    margin : float > 0, default 1.5
        How many points of accuracy means may be apart where they count as equivalent.

    Returns
    -------
    Convergence

    Raises
    ------
    ValueError, TypeError, OSError
        If something cannot be read, or the reference has no such row.
    """
    theirs, reference = results.read(path), results.reference(against)
    for algorithm, p_e in theirs.accuracies:
        known = dict.fromkeys(name for name, _ in reference.accuracies)
        if algorithm not in known:
            raise ValueError(
                f"{theirs.source} has the algorithm {algorithm!r}, which {reference.source} has "
                f"not; {_checks.nearest(algorithm, known)}"
            )
        if (algorithm, p_e) not in reference.accuracies:
            places = [place for name, place in reference.accuracies if name == algorithm]
            raise ValueError(
                f"{theirs.source} has {algorithm} at p_e = {p_e}, which {reference.source} has "
                f"not; known: {', '.join(places)}"
            )
    rows = comparison.compare(theirs.samples, reference.samples, margin)
    return Convergence(theirs, reference, margin, rows)


# ---- text ----------------------------------------------------------------------------------------


def _left_out(whose, found):
    """Return a line on the trials whose numbers do not count, if there are any."""
    if not found.left_out:
        return []
    return [textwrap.fill(f"left out of {whose}: {_some(found.left_out)}", WIDTH)]


def _some(names, most=8):
    """Return names in a line, the first of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _cells(row):
    """Return a row of the table."""
    interval = f"[{row.low:+.1f}, {row.high:+.1f}]" if row.low == row.low else "[unknown]"
    return (
        row.algorithm,
        row.p_e,
        f"{row.mean:.1f} ± {row.spread:.1f}",
        str(row.trials),
        f"{row.reference_mean:.1f} ± {row.reference_spread:.1f}",
        str(row.reference_trials),
        f"{row.difference:+.1f} {interval}",
        f"{row.p_apart:.1g}",
        f"{row.ks:.2f}",
        f"{row.p_ks:.1g}",
        row.verdict + _needed(row),
    )


def _needed(row):
    """Return how many trials would settle a row for which they are too few."""
    if row.verdict != TOO_FEW:
        return ""
    if row.needed is None:
        return f" ({comparison.LEAST} or more)"  # nobody knows yet how much they vary
    return f" ({row.needed} {'of yours' if row.needed_of == 'one' else 'each'})"


def _table(lines):
    """Return lines of cells in columns, the first and the last flush left."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    last = len(HEAD) - 1
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place in (0, last) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths))
        ).rstrip()
        for cells in lines
    )


def _counted(rows):
    """Return how many rows have which verdict, in a sentence."""
    count = Counter(row.verdict for row in rows)
    told = {AGREES: ("agrees", "agree"), DIFFERS: ("differs", "differ")}
    told[TOO_FEW] = ("has too few trials to tell", "have too few trials to tell")
    parts = [f"{count[one]} {words[count[one] != 1]}" for one, words in told.items() if count[one]]
    return f"{len(rows)} row{'s' * (len(rows) != 1)}: {', '.join(parts)}"
