"""Digits made by a formula: a small stand-in for MNIST that needs no file."""

from __future__ import annotations

import numpy as np

from metairm_np import _checks
from metairm_np._seeds import Seed, child
from metairm_np.environments._split import one_per_env
from metairm_np.environments.colored_mnist import ColoredDigits

SEGMENTS = {  # of a seven-segment display, as (rows, columns) of a 14x14 image before the shift
    "a": (slice(2, 3), slice(4, 9)),
    "b": (slice(3, 6), slice(8, 9)),
    "c": (slice(7, 10), slice(8, 9)),
    "d": (slice(10, 11), slice(4, 9)),
    "e": (slice(7, 10), slice(4, 5)),
    "f": (slice(3, 6), slice(4, 5)),
    "g": (slice(6, 7), slice(4, 9)),
}
DIGITS = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgecd", "abc", "abcdefg", "abcdfg")
IMAGES = 7  # the stream of the images, apart from the trial's data, first parameters and noise


def synthetic_digits(
    seed: Seed, n_per_env: int = 200, n_test: int = 400, **options
) -> ColoredDigits:
    """Make a trial of coloured seven-segment digits.

    Parameters
    ----------
    seed : int or numpy.random.SeedSequence
        The trial's seed; equal seeds give equal bits.
    n_per_env : int, default 200
        Images of each training environment, its validation images included.
    n_test : int, default 400
        Images of a test environment.
    **options
        n_classes, train_p, label_noise, validation, validation_draws, patch_p, dtype as in
        `colored_mnist`.

    Returns
    -------
    ColoredDigits
        With `.train`, `.validation`, `.test(p_e)` and `.greyscale()`.

    Raises
    ------
    ValueError, TypeError
        As `colored_mnist`, and for an `n_test` below 1.
    """
    _checks.count("n_per_env", n_per_env, 1)
    _checks.count("n_test", n_test, 1)
    train_p = options.get("train_p", (0.1, 0.2))
    n_envs = len(one_per_env("train_p", train_p, np.size(train_p)))
    rng = np.random.default_rng(child(seed, IMAGES))
    pool, test_pool = draw(rng, n_envs * n_per_env), draw(rng, n_test)
    return ColoredDigits(pool, test_pool, seed, n_per_env=n_per_env, **options)


def draw(rng, n):
    """Draw images (n, 14, 14) uint8, shifted and of varying brightness, and their digits (n,)."""
    glyphs = np.zeros((10, 14, 14))
    for digit, segments in enumerate(DIGITS):
        for segment in segments:
            glyphs[digit][SEGMENTS[segment]] = 1
    digits = rng.integers(10, size=n)
    shifts = rng.integers(-2, 3, size=(n, 2))
    images = np.stack([np.roll(glyphs[d], shift, axis=(0, 1)) for d, shift in zip(digits, shifts)])
    brightness = rng.uniform(0.5, 1.0, (n, 1, 1)) * rng.uniform(0.7, 1.0, images.shape)
    return np.round(255 * images * brightness).astype(np.uint8), digits.astype(np.uint8)
