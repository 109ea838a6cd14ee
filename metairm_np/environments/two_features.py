"""A toy that fits on a slide: two features, one to be relied on and one that turns round."""

from __future__ import annotations

import numpy as np

from metairm_np import _checks
from metairm_np._seeds import Seed, child
from metairm_np.environments._split import EnvironmentSplit
from metairm_np.environments.environment import Environment

SAMPLES = 8  # the stream of the samples, apart from the trial's data, first parameters and noise


def two_features(
    seed: Seed,
    n_per_env: int = 2000,
    n_test: int = 4000,
    spread: float = 0.35,
    train_p=(0.1, 0.2, 0.3),
    **options,
) -> TwoFeatures:
    """Make a trial of samples with two features, Colored MNIST in the plane.

    A coin is thrown for the sample's shape s, -1 or 1, as for the digit there. The label is the
    shape, but flipped with probability `label_noise`; the colour z is the label, but flipped with
    probability p_e. What is seen is x = (s, z) plus normal noise. The invariant model takes the
    sign of x_1 and is right for 75 %, whatever p_e is.

    Parameters
    ----------
    seed : int or numpy.random.SeedSequence
        The trial's seed; equal seeds give equal bits.
    n_per_env : int, default 2000
        Samples of each training environment, its validation samples included.
    n_test : int, default 4000
        Samples of a test environment.
    spread : float >= 0, default 0.35
        The standard deviation of the noise.
    train_p : sequence of float, default (0.1, 0.2, 0.3)
        p_e of each training environment.
    **options
        label_noise, validation, validation_draws, dtype as in `colored_mnist`.

    Returns
    -------
    TwoFeatures
        With `.train`, `.validation`, `.test(p_e)`, `.greyscale()` (x_1 alone) and
        `.in_each_colour(env)`.

    Raises
    ------
    ValueError, TypeError
        As `colored_mnist`, and for an `n_test` below 1 or a negative `spread`.
    """
    _checks.count("n_per_env", n_per_env, 1)
    _checks.count("n_test", n_test, 1)
    _checks.number("spread", spread, low=0)
    rng = np.random.default_rng(child(seed, SAMPLES))

    def draw(n):
        return rng.integers(2, size=n), spread * rng.standard_normal((n, 2))  # s, noise

    pools = draw(np.size(train_p) * n_per_env), draw(n_test)
    return TwoFeatures(seed, pools, train_p=train_p, n_per_env=n_per_env, **options)


class TwoFeatures(EnvironmentSplit):
    """One trial of `two_features`.

    Attributes
    ----------
    n_classes : int
        2.
    """

    n_classes = 2
    _colour = True

    def test(self, p_e: float, label_noise: float | None = None) -> Environment:
        """Return the test environment at `p_e`, its samples the same at any p_e.

        Parameters
        ----------
        p_e : float in [0, 1]
        label_noise : float in [0, 1], optional
            Default: the mean of the training environments'.
        """
        return self._test(p_e, label_noise)

    def greyscale(self) -> TwoFeatures:
        """Return the same trial without colour: x is (n, 1)."""
        return self._twin(_colour=False)

    def in_each_colour(self, env: Environment) -> list:
        """Return x of an environment with the colour at -1 and at 1; without colour no x."""
        if not self._colour:
            return []
        return [np.column_stack([env.x[:, 0], np.full(len(env), z, env.dtype)]) for z in (-1, 1)]

    def _environment(self, pool, rows, uniforms, *, p_e, patch_p, label_noise, name):
        shape, noise = (array[rows] for array in pool)
        y = (shape + (uniforms[0] < label_noise)) % 2
        z = (y + (uniforms[1] < p_e)) % 2
        x = 2 * np.stack([shape, z], axis=1) - 1 + noise  # (n, 2)
        x = x.astype(self.dtype)[:, : 2 if self._colour else 1]
        return Environment(x, y, name=name, p_e=p_e, label_noise=label_noise)
