"""What trials have in common: samples dealt to training environments and their validation sets, and a shared test set."""

from functools import cached_property

import numpy as np

from metairm_np import _checks
from metairm_np._seeds import DATA, child

SPLIT, TEST, TRAIN = 0, 1, 2  # the data streams of a trial


class EnvironmentSplit:
    """One trial's environments, from samples of which each environment gets its own.

    A subclass gives `_training_environment(rows, draws, e, name)` and names what it deals in
    `things`.

    Attributes
    ----------
    train, validation : list of Environment
    """

    things = "samples"
    n_draws = 2  # uniform numbers a sample

    def __init__(self, seed, n_samples, train_p, label_noise, n_per_env, validation, dtype):
        _checks.dtype(dtype)
        self.train_p = one_per_env("train_p", train_p, len(np.atleast_1d(train_p)))
        n_envs = len(self.train_p)
        n_per_env = n_samples // n_envs if n_per_env is None else n_per_env
        _checks.count("n_per_env", n_per_env, 1)
        _checks.number("validation", validation, 0, 1 - 1 / n_per_env)
        if n_envs * n_per_env > n_samples:
            raise ValueError(
                f"n_per_env is {n_per_env} for {n_envs} environments, but there are {n_samples} {self.things} to deal; "
                f"give {n_samples // n_envs} or fewer"
            )
        self.label_noise = one_per_env("label_noise", label_noise, n_envs)
        self.dtype = np.dtype(dtype)
        self._seed, self._n_samples = child(seed, DATA), n_samples
        self._n_per_env, self._n_validation = n_per_env, round(validation * n_per_env)

    @cached_property
    def train(self):
        """The training environments."""
        return [
            self._deal(e, "train", slice(self._n_validation, None))
            for e in range(len(self.train_p))
        ]

    @cached_property
    def validation(self):
        """The held-out parts of the training environments; an empty list if their share is 0."""
        if self._n_validation == 0:
            return []
        return [
            self._deal(e, "validation", slice(self._n_validation)) for e in range(len(self.train_p))
        ]

    @cached_property
    def _order(self):
        return np.random.default_rng(child(self._seed, SPLIT)).permutation(self._n_samples)

    def _deal(self, e, part, keep):
        rows = self._order[e * self._n_per_env : (e + 1) * self._n_per_env][keep]
        draws = np.random.default_rng(child(self._seed, TRAIN, e)).random(
            (self.n_draws, self._n_per_env)
        )[:, keep]
        return self._training_environment(rows, draws, e, f"{part} p_e={self.train_p[e]:g}")

    def _test_draws(self, n_test):
        """Return the uniform numbers of the test samples, the same for every test environment."""
        return np.random.default_rng(child(self._seed, TEST)).random((self.n_draws, n_test))

    def _noise_of_test(self, label_noise):
        """Return the label noise of a test environment: `label_noise`, or the mean over the training environments."""
        label_noise = (
            sum(self.label_noise) / len(self.label_noise) if label_noise is None else label_noise
        )
        _checks.number("label_noise", label_noise, 0, 1)
        return label_noise

    def _twin(self, **changes):
        """Return the same trial with other attributes."""
        twin = object.__new__(type(self))
        kept = {
            key: value for key, value in vars(self).items() if key not in ("train", "validation")
        }
        vars(twin).update(kept, **changes)
        return twin


def one_per_env(what, value, n_envs):
    """Return `value`, a probability or one per environment, as a list with one per environment."""
    values = [
        float(v) if isinstance(v, np.generic) else v
        for v in np.ravel(np.asarray(value, dtype=object))
    ]
    values = values * n_envs if len(values) == 1 else values
    if len(values) != n_envs or not values:
        raise ValueError(
            f"{what} has {len(values)} values for {n_envs} environments; give one number or one per environment"
        )
    for v in values:
        _checks.number(what, v, 0, 1)
    return values
