"""Small files of one's own: three labs, in which a colour goes with the label in other shares."""

import csv

import numpy as np

COLUMNS = ("size", "weight", "colour")
SHARES = {"lab_a": 0.1, "lab_b": 0.2, "lab_c": 0.9}


def lab(name, n=60, labels=("no", "yes")):
    """Return the samples of a lab, x (n, 3), and their labels, (n,) of str."""
    rng = np.random.default_rng(sorted(SHARES).index(name))
    k = len(labels)
    y = rng.permutation(np.arange(n) % k)
    z = (y + (rng.random(n) < SHARES[name])) % k
    x = np.column_stack([y + rng.normal(size=n), 50 + 9 * rng.normal(size=n), z])
    return x.round(3), np.array(labels)[y]


def write_csv(path, x, y, columns=COLUMNS, **more):
    """Write samples as CSV, with `more` columns of texts."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, "y", *more])
        writer.writerows([*row, label, *rest] for row, label, *rest in zip(x, y, *more.values()))


def write_labs(folder, **options):
    """Write lab_a.csv, lab_b.csv and lab_c.csv."""
    for name in SHARES:
        write_csv(folder / f"{name}.csv", *lab(name, **options))
