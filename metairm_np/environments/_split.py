"""What trials have in common: samples split among training environments, and a test set."""

from __future__ import annotations

import copy
import hashlib
import json
from functools import cached_property

import numpy as np

from metairm_np import _checks
from metairm_np._seeds import DATA, child
from metairm_np.environments.environment import Environment

SPLIT, TEST, TRAIN, HELD_OUT = 0, 1, 2, 3  # the data streams of a trial


class EnvironmentSplit:
    """One trial: samples split among environments, and test environments that share their samples.

    `pools` are the samples to train and to test on, each a tuple of arrays with samples in their
    rows. A subclass has `_environment(pool, rows, uniforms, *, name, p_e, patch_p, label_noise)`,
    which makes an Environment of some rows of a pool and of uniform numbers for each of them.

    Attributes
    ----------
    train, validation : list of Environment
    train_p, label_noise : list of float
        One per training environment.
    sources : dict
        The SHA-256 of each file, or array of a file, that was read, by its name; empty for data
        made up.
    checksum : str
        Of the sources; "" if there are none.
    """

    samples = "samples"  # what messages call them
    n_uniforms = 2  # random numbers a sample

    def __init__(
        self,
        seed,
        pools,
        *,
        train_p=(0.1, 0.2),
        label_noise=0.25,
        n_per_env=None,
        validation=0.2,
        validation_draws=0,
        patch_p=None,
        dtype="float64",
        sources=None,
    ):
        _checks.dtype(dtype)
        self.sources = dict(sources or {})
        self.train_p = one_per_env("train_p", train_p, np.size(train_p))
        n_samples, n_envs = len(pools[0][0]), len(self.train_p)
        n_per_env = n_samples // n_envs if n_per_env is None else n_per_env
        _checks.count("n_per_env", n_per_env, 1)
        self._n_validation = held_out(validation, n_per_env, self.samples)
        _checks.count("validation_draws", validation_draws, 0)
        self._draws = validation_draws
        if n_envs * n_per_env > n_samples:
            raise ValueError(
                f"n_per_env is {n_per_env} for {n_envs} environments, but there are {n_samples} "
                f"{self.samples} to deal; give {n_samples // n_envs} or fewer"
            )
        self.label_noise = one_per_env("label_noise", label_noise, n_envs)
        self.patch_p = [None] * n_envs
        if patch_p is not None:
            self.patch_p = one_per_env("patch_p", patch_p, n_envs)
        self.dtype = np.dtype(dtype)
        self._seed, self._pools = child(seed, DATA), pools
        self._n_per_env = n_per_env

    @property
    def checksum(self) -> str:
        """The checksum of the sources; "" if there are none."""
        return checksum_of(self.sources)

    @property
    def n_envs(self) -> int:
        """The number of training environments."""
        return len(self.train_p)

    @property
    def about(self) -> dict:
        """What a record says of the data beside their checksum: nothing."""
        return {}

    @cached_property
    def train(self) -> list[Environment]:
        """The training environments."""
        return self._own("train", slice(self._n_validation, None))

    @cached_property
    def validation(self) -> list[Environment]:
        """The held-out parts of the training environments; an empty list if their share is 0."""
        if not self._n_validation:
            return []
        held = slice(self._n_validation)
        return self._in_common(held) if self._draws else self._own("validation", held)

    def _own(self, part, keep):
        """Return the kept part of the samples of each training environment."""
        envs = []
        for e, rows in enumerate(self._rows(keep)):
            uniforms = self._generator(TRAIN, e).random((self.n_uniforms, self._n_per_env))[:, keep]
            if part == "validation":
                fit = self._fit_to_validate(rows)
                rows, uniforms = rows[fit], uniforms[:, fit]
            envs.append(self._as_in_training(e, part, rows, uniforms))
        return envs

    def _in_common(self, keep):
        """Return the kept parts of all, drawn as each environment draws, from the same numbers."""
        rows = np.concatenate(self._rows(keep))
        rows = np.tile(rows[self._fit_to_validate(rows)], self._draws)
        uniforms = self._generator(HELD_OUT).random((self.n_uniforms, len(rows)))
        return [self._as_in_training(e, "validation", rows, uniforms) for e in range(self.n_envs)]

    def _fit_to_validate(self, rows):
        """Return which of the held-out samples validation takes: all."""
        return slice(None)

    def _rows(self, keep):
        """Return which samples of the pool are the kept part of each training environment."""
        order = self._generator(SPLIT).permutation(len(self._pools[0][0]))
        n = self._n_per_env
        return [order[e * n : (e + 1) * n][keep] for e in range(self.n_envs)]

    def _as_in_training(self, e, part, rows, uniforms):
        """Return samples drawn as training environment `e` draws them."""
        return self._environment(self._pools[0], rows, uniforms, **self._about(e, part))

    def _about(self, e, part):
        """Return the name of a part of training environment `e`, and its probabilities."""
        p_e = self.train_p[e]
        about = {"p_e": p_e, "patch_p": self.patch_p[e], "label_noise": self.label_noise[e]}
        return {"name": f"{part} p_e={p_e:g}", **about}

    def in_each_colour(self, env: Environment) -> list:
        """Return the x of an environment in each colour; an empty list where there are none."""
        return []

    def _test(self, p_e, label_noise, patch_p=None):
        """Return the test environment at `p_e`; its uniform numbers do not depend on `p_e`."""
        _checks.number("p_e", p_e, 0, 1)
        if patch_p is not None:
            _checks.number("patch_p", patch_p, 0, 1)
        if label_noise is None:
            label_noise = sum(self.label_noise) / len(self.label_noise)
        _checks.number("label_noise", label_noise, 0, 1)
        about = {"p_e": p_e, "patch_p": patch_p, "label_noise": label_noise}
        pool = self._pools[1]
        uniforms = self._generator(TEST).random((self.n_uniforms, len(pool[0])))
        return self._environment(pool, slice(None), uniforms, name=f"test p_e={p_e:g}", **about)

    def _generator(self, *stream):
        return np.random.default_rng(child(self._seed, *stream))

    def _twin(self, **changes):
        """Return the same trial with other attributes."""
        twin = copy.copy(self)
        for made in ("train", "validation"):
            vars(twin).pop(made, None)
        vars(twin).update(changes)
        return twin


def checksum_of(sources):
    """Return the checksum of the SHA-256 of files, by their names; "" if there are none."""
    text = json.dumps(sources, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16] if sources else ""


def held_out(share, n, samples):
    """Return how many of an environment's `n` samples are held out: `share` of them, and not all.

    If `share` is above 0 it is one or more.
    """
    _checks.number("validation", share, 0, 1)
    count = round(share * n)
    if count == n:
        raise ValueError(
            f"validation is {share:g} of n_per_env = {n} {samples}, which leaves none to train on; "
            "give a larger n_per_env or a smaller validation"
        )
    if share > 0 and count == 0:
        raise ValueError(
            f"validation is {share:g} of n_per_env = {n} {samples}, which rounds to none; give a "
            "larger n_per_env, or validation = 0 to hold none out"
        )
    return count


def one_per_env(what, value, n_envs):
    """Return `value`, a probability or one per environment, as a list with one per environment."""
    values = np.ravel(np.asarray(value, dtype=object))
    values = [float(v) if isinstance(v, np.generic) else v for v in values]
    values = values * n_envs if len(values) == 1 else values
    if not values:
        raise ValueError(f"{what} is empty; give one number per training environment")
    if len(values) != n_envs:
        raise ValueError(
            f"{what} has {len(values)} values for {n_envs} environments; "
            "give one number or one per environment"
        )
    for v in values:
        _checks.number(what, v, 0, 1)
    return values
