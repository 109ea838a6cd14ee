"""Measure the defaults of `metairm_np.estimator` on toys, for the table of docs/own_data.md.

python tools/estimator_defaults.py --trials 5

A cause is right about the label but for `noise` of the samples, an effect agrees with the label but
for a share p of an environment's; columns are these, one or several noisy copies of the cause, and
noise. Accuracies are those of new samples at p = 0.1 and, where the correlation has turned round,
at p = 0.9.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from metairm_np.estimator import OWN, InvariantClassifier

TOYS = {  # the shares p, samples of each environment, columns of the cause and of noise
    "3 environments of 600, 2 columns": ((0.05, 0.15, 0.25), 600, 1, 0),
    "2 environments of 2,000, 9 columns": ((0.1, 0.2), 2000, 5, 3),
    "4 environments of 500, 9 columns": ((0.1, 0.15, 0.2, 0.3), 500, 5, 3),
    "2 environments of 200, 9 columns": ((0.05, 0.3), 200, 5, 3),
    "2 environments alike, of 1,000, 9 columns": ((0.1, 0.1), 1000, 5, 3),
}


def samples(p, n, seed, n_causes=1, n_noise=0, noise=0.25):
    """Draw the columns (n, n_causes + 1 + n_noise) and the labels (n,) of an environment."""
    rng = np.random.default_rng(seed)
    cause = rng.integers(2, size=n)
    y = cause ^ (rng.random(n) < noise)
    effect = y ^ (rng.random(n) < p)
    strength = 1.5 if n_causes == 1 else 1.0
    means = [strength * (2 * cause - 1)] * n_causes + [2.0 * (2 * effect - 1)] + [0 * y] * n_noise
    return np.stack(means, axis=1) + rng.standard_normal((n, len(means))), y


def laboratories(shares, n, seed, **columns):
    """Return the samples of several environments, their labels and where each is from."""
    parts = [samples(p, n, (seed, e), **columns) for e, p in enumerate(shares)]
    X, y = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    return X, y, np.repeat([f"lab {e}" for e in range(len(shares))], n)


def accuracies(objective, shares, n, n_causes, n_noise, seed):
    """Return the accuracies at p = 0.1 and 0.9 of one fit with nothing but defaults."""
    columns = {"n_causes": n_causes, "n_noise": n_noise}
    X, y, groups = laboratories(shares, n, seed, **columns)
    scaler = StandardScaler().fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = InvariantClassifier(objective, random_state=seed)
        model.fit(scaler.transform(X), y, groups=groups)
    tests = [samples(p, 4000, (seed, 99), **columns) for p in (0.1, 0.9)]
    return [100 * model.score(scaler.transform(X), y) for X, y in tests]


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=5)
    trials = range(parser.parse_args().trials)
    print(f"| toy | {' | '.join(OWN)} |\n|---|{'---|' * len(OWN)}")
    for name, toy in TOYS.items():
        cells = []
        for objective in OWN:
            found = np.array([accuracies(objective, *toy, seed) for seed in trials])
            cells.append(" / ".join(f"{a:.1f}" for a in found.mean(axis=0)))
            cells[-1] += f" ({found.min():.0f})"
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
