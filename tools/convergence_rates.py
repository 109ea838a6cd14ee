"""How often the verdicts of `conformance convergence` are right: the table of docs/conformance.md.

    python tools/convergence_rates.py

Trials are drawn whose truth is known: normal, with the means, spreads and correlations of the
committed trials of Table 1, the same for both sides but for what a line of the table says.
"""

from dataclasses import dataclass

import numpy as np

from metairm_np.conformance.trainings import comparison, results
from metairm_np.reports.tables import markdown

TABLE1 = ("0.1", "0.2", "0.9")  # the p_e of the table
CHANGED = "meta_irm"  # the algorithm that differs, where one does
FILES = 200


@dataclass(frozen=True)
class Truth:
    """How one side's trials differ from the other's.

    Parameters
    ----------
    trials, reference_trials : int
    shift : float
        Points that all accuracies of `CHANGED` are higher.
    stretch : float
        How many times as far the trials of `CHANGED` are from their mean.
    """

    trials: int
    reference_trials: int = 10
    shift: float = 0.0
    stretch: float = 1.0


def committed():
    """Return the accuracies (trials, p_e) of each algorithm in the committed Table 1."""
    found = results.committed("table1").accuracies
    names = dict.fromkeys(algorithm for algorithm, _ in found)
    return {name: np.array([list(found[name, p_e].values()) for p_e in TABLE1]).T for name in names}


def drawn(rng, samples, trials, truth=None):
    """Return trials like those of `samples`, by algorithm and p_e."""
    rows = {}
    for name, sample in samples.items():
        noise = rng.multivariate_normal(np.zeros(len(TABLE1)), np.cov(sample.T), trials)
        shift, stretch = (truth.shift, truth.stretch) if truth and name == CHANGED else (0, 1)
        accuracies = sample.mean(axis=0) + shift + stretch * noise  # (trials, p_e)
        rows |= {(name, p_e): column for p_e, column in zip(TABLE1, accuracies.T)}
    return rows


def verdicts(truth, files=FILES, seed=0):
    """Return what is found in each of some files, a list of lists of Row."""
    rng, samples = np.random.default_rng(seed), committed()
    return [
        comparison.compare(
            drawn(rng, samples, truth.trials, truth),
            drawn(rng, samples, truth.reference_trials),
        )
        for _ in range(files)
    ]


def share(rows, verdict):
    """Return the share of rows that have a verdict."""
    return np.mean([row.verdict == verdict for row in rows])


def any_differs(found):
    """Return the share of files in which a row differs, which makes the exit status 1."""
    return np.mean([share(rows, comparison.DIFFERS) > 0 for rows in found])


TRUTHS = {
    "the same": [Truth(3), Truth(5), Truth(10), Truth(30, 30), Truth(60, 60)],
    "1.5 points higher": [Truth(10, shift=1.5), Truth(60, 60, shift=1.5)],
    "3 points higher": [Truth(10, shift=3), Truth(30, 30, shift=3)],
    "6 points higher": [Truth(3, shift=6), Truth(10, shift=6)],
    "spread three times as large": [Truth(10, stretch=3), Truth(60, 60, stretch=3)],
}


if __name__ == "__main__":
    head = ["meta-IRM's truth", "trials", "reference", "files in which a row differs"]
    head += [f"meta-IRM {verdict}" for verdict in (comparison.AGREES, comparison.DIFFERS)]
    head += ["meta-IRM p(KS) < 5 %", "ERM agrees"]
    lines = []
    for what, truths in TRUTHS.items():
        for truth in truths:
            found = verdicts(truth)
            changed = [row for rows in found for row in rows if row.algorithm == CHANGED]
            erm = [row for rows in found for row in rows if row.algorithm == "erm"]
            parts = (
                any_differs(found),
                *(share(changed, v) for v in (comparison.AGREES, comparison.DIFFERS)),
                np.mean([row.p_ks < 0.05 for row in changed]),
                share(erm, comparison.AGREES),
            )
            counts = (truth.trials, truth.reference_trials)
            lines.append([what, *map(str, counts), *(f"{100 * part:.0f} %" for part in parts)])
    print(markdown(head, lines))
