"""Samples of several laboratories, and classifiers that are quickly fitted to them."""

from types import SimpleNamespace

import estimator_defaults
import numpy as np

from metairm_np.estimator import InvariantClassifier

QUICK = {"hidden": (4,), "steps": 6, "random_state": 3}
META = {"early_stopping": False, **QUICK}


def laboratories(n=40, seed=0, shares=(0.05, 0.15, 0.25)):
    """Return samples of several environments, shuffled, and where each is from."""
    columns = estimator_defaults.laboratories(shares, n, seed)
    order = np.random.default_rng(seed).permutation(len(columns[1]))
    return SimpleNamespace(**dict(zip(["X", "y", "groups"], (part[order] for part in columns))))


LABS = laboratories()


def fitted(objective="meta_irm", labs=LABS, **given):
    options = META if objective == "meta_irm" else QUICK
    model = InvariantClassifier(objective, **{**options, **given})
    return model.fit(labs.X, labs.y, groups=labs.groups)
