"""Colored MNIST: digits whose colour, and optionally a patch, agrees with a noisy label.

How often it does is the environment's own. Arjovsky et al., "Invariant Risk Minimization", 2019;
k classes after Choe et al., 2020; the patch after Bae et al., 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metairm_np._seeds import Seed
from metairm_np.environments._split import EnvironmentSplit
from metairm_np.environments.environment import Environment
from metairm_np.environments.mnist import SHA256, load_mnist14

N_TRAIN_IMAGES = 50_000  # of MNIST's 60,000 training images; the last 10,000 are the test images


def colored_mnist(
    seed: Seed,
    n_classes: int = 2,
    train_p: float | Sequence[float] = (0.1, 0.2),
    label_noise: float | Sequence[float] = 0.25,
    n_per_env: int = 25_000,
    validation: float = 0.2,
    validation_draws: int = 0,
    patch_p: float | Sequence[float] | None = None,
    dtype: str = "float64",
) -> ColoredDigits:
    """Make one trial of Colored MNIST from the real, shipped images.

    Parameters
    ----------
    seed : int or numpy.random.SeedSequence
        The trial's seed; equal seeds give equal bits.
    n_classes : {2, 5, 10}, default 2
        The label is digit // (10 / n_classes), and there are as many colours as classes.
    train_p : sequence of float in [0, 1], default (0.1, 0.2)
        One training environment per entry: the probability p_e that the colour is z = y + 1 mod k
        instead of z = y.
    label_noise : float in [0, 1] or one per environment, default 0.25
        Probability eta that the label y is the digit's class + 1 mod k.
    n_per_env : int, default 25,000
        Images of each training environment, its validation images included.
    validation : float in [0, 1), default 0.2
        Share of each environment's images held out for validation.
    validation_draws : int >= 0, default 0
        0: what is held out of an environment, as it was drawn, is its validation set. Otherwise the
        images held out of all environments are drawn anew so many times, as each environment
        draws, from the same random numbers for all, so that their validation risks differ hardly
        by chance.
    patch_p : float in [0, 1] or one per environment, optional
        With it (two classes only), each image gets a patch: z' = y flipped with this probability, a
        3x3 square top left for z' = 0, 2x2 bottom right for z' = 1, in the image's colour channel.
    dtype : {"float64", "float32"}, default "float64"

    Returns
    -------
    ColoredDigits
        With `.train`, `.validation`, `.test(p_e)` and `.greyscale()`.

    Raises
    ------
    ValueError, TypeError
        For a value outside what is listed here, or more images than the 50,000 there are.
    """
    mnist = load_mnist14()
    images, digits = mnist["train_images"], mnist["train_labels"]
    return ColoredDigits(
        (images[:N_TRAIN_IMAGES], digits[:N_TRAIN_IMAGES]),
        (images[N_TRAIN_IMAGES:], digits[N_TRAIN_IMAGES:]),
        seed,
        n_classes=n_classes,
        train_p=train_p,
        label_noise=label_noise,
        n_per_env=n_per_env,
        validation=validation,
        validation_draws=validation_draws,
        patch_p=patch_p,
        dtype=dtype,
        sources=SHA256,
    )


class Draw(NamedTuple):
    """What is drawn for an environment, of which its images are made.

    Parameters
    ----------
    rows : (n,) array of int
        Which images of the pool: of the first 50,000, or in test environments of the others.
    y : (n,) array of int
        The labels.
    z : (n,) array of int
        The colours: the channels that the images are in.
    patch : (n,) array of int, optional
        z' of each patch, None without patches.
    """

    rows: np.ndarray
    y: np.ndarray
    z: np.ndarray
    patch: np.ndarray | None


class ColoredDigits(EnvironmentSplit):
    """One trial: coloured digits as a pure function of the images, the settings and the seed.

    Parameters
    ----------
    pool, test_pool : pair
        Images (n, 14, 14) uint8 and their digits (n,).
    seed, n_classes, train_p, label_noise, n_per_env, validation, validation_draws, patch_p,
    dtype
        As for `colored_mnist`.
    sources : dict, optional
        Of the images, see the attribute.

    Attributes
    ----------
    train, validation : list of Environment
        With x (n, k*196).
    n_classes : int
    sources : dict
        The SHA-256 of each array of the file that was read; empty for digits made up.
    """

    samples, n_uniforms = "images", 3

    def __init__(self, pool, test_pool, seed, *, n_classes=2, patch_p=None, **settings):
        if n_classes not in (2, 5, 10):
            raise ValueError(f"n_classes is {n_classes!r}; give 2, 5 or 10")
        if patch_p is not None and n_classes != 2:
            raise ValueError(
                f"patch_p is {patch_p!r} with {n_classes} classes; "
                "the patch is defined for 2 classes only"
            )
        super().__init__(seed, (pool, test_pool), patch_p=patch_p, **settings)
        self.n_classes, self._colour, self._drawn_only = n_classes, True, False

    def test(
        self, p_e: float, patch_p: float | None = None, label_noise: float | None = None
    ) -> Environment:
        """Return the test environment at `p_e`: the same images and labels for every `p_e`.

        Parameters
        ----------
        p_e : float in [0, 1]
        patch_p : float in [0, 1], default `p_e`
            Only for trials with patches.
        label_noise : float in [0, 1], default the mean over the training environments

        Returns
        -------
        Environment

        Raises
        ------
        ValueError, TypeError
            For a number outside [0, 1], or `patch_p` for a trial without patches.
        """
        if self.patch_p[0] is not None:
            patch_p = p_e if patch_p is None else patch_p
        elif patch_p is not None:
            raise ValueError(
                f"patch_p is {patch_p!r}, but the trial has no patches; make it with patch_p=..."
            )
        return self._test(p_e, label_noise, patch_p)

    def greyscale(self) -> ColoredDigits:
        """Return the same trial without colour: same images, labels and split, x (n, 196)."""
        return self._twin(_colour=False)

    @property
    def in_colour(self) -> bool:
        """Whether the images have their colours."""
        return self._colour

    def draws(self) -> ColoredDigits:
        """Return the same trial with a `Draw` in the place of each Environment."""
        return self._twin(_drawn_only=True)

    def _draw(self, pool, rows, uniforms, *, p_e, patch_p, label_noise):
        k, digits = self.n_classes, pool[1][rows]
        y = (digits.astype(np.int64) // (10 // k) + (uniforms[0] < label_noise)) % k
        z = (y + (uniforms[1] < p_e)) % k
        patch = None if patch_p is None else (y + (uniforms[2] < patch_p)) % 2
        return Draw(np.arange(len(pool[1]))[rows], y, z, patch)

    def _environment(self, pool, rows, uniforms, *, name, **about):
        draw = self._draw(pool, rows, uniforms, **about)
        if self._drawn_only:
            return draw
        return self._painted(pool[0][rows], draw.z, draw.patch, draw.y, name=name, **about)

    def _painted(self, images, z, patch, y, **about):
        """Return the environment of images in the channels z, with patches if there are any."""
        if patch is not None:
            images = with_patch(images, patch)
        grey = (np.arange(256) / 255).astype(self.dtype)[images.reshape(len(y), -1)]  # (n, 196)
        z, n_channels = (z, self.n_classes) if self._colour else (np.zeros_like(z), 1)
        return Environment.painted(grey, z, n_channels, y, **about)

    def _in_common(self, keep):
        """Return the kept parts of all, which share each image in each colour, with each patch."""
        draws = super(ColoredDigits, self.draws())._in_common(keep)
        if self._drawn_only:
            return draws
        looks = [
            (d.rows, d.z * self._colour, 0 * d.z if d.patch is None else d.patch) for d in draws
        ]
        different, which = np.unique(np.concatenate(looks, axis=1), axis=1, return_inverse=True)
        rows, z, patch = different
        patch = None if draws[0].patch is None else patch
        source = self._painted(self._pools[0][0][rows], z, patch, 0 * z)
        return [
            Environment.resampled(source, some, draw.y, **self._about(e, "validation"))
            for e, (some, draw) in enumerate(zip(np.split(which, len(draws)), draws))
        ]


def with_patch(images, z):
    """Return the images with a white patch: 3x3 top left for z = 0, 2x2 bottom right for z = 1."""
    images = images.copy()
    images[z == 0, :3, :3] = 255
    images[z == 1, -2:, -2:] = 255
    return images
