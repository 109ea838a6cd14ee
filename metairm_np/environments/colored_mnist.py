"""Colored MNIST: digits whose colour, and optionally a patch, agrees with a noisy label with an environment's own probability.

Arjovsky et al., "Invariant Risk Minimization", 2019; k classes after Choe et al., 2020; the patch
after Bae et al., 2021.
"""

import numpy as np

from metairm_np import _checks
from metairm_np.environments._split import EnvironmentSplit, one_per_env
from metairm_np.environments.environment import Environment
from metairm_np.environments.mnist import load_mnist14

N_TRAIN_IMAGES = 50_000  # of MNIST's 60,000 training images; the last 10,000 are the test images


def colored_mnist(
    seed,
    n_classes=2,
    train_p=(0.1, 0.2),
    label_noise=0.25,
    n_per_env=25_000,
    validation=0.2,
    patch_p=None,
    dtype="float64",
):
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
        Images dealt to each training environment, its validation images included.
    validation : float in [0, 1), default 0.2
        Share of each environment's images held out for validation.
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
        patch_p=patch_p,
        dtype=dtype,
    )


class ColoredDigits(EnvironmentSplit):
    """One trial: environments of coloured digits as a pure function of the images, the settings and the seed.

    `pool` and `test_pool` are pairs (images (n, 14, 14) uint8, digits (n,)); the other parameters
    are those of `colored_mnist`. Attributes: `train` and `validation`, lists of Environment with x
    (n, k*196); `n_classes`.
    """

    things, n_draws = "images", 3

    def __init__(
        self,
        pool,
        test_pool,
        seed,
        *,
        n_classes=2,
        train_p=(0.1, 0.2),
        label_noise=0.25,
        n_per_env,
        validation=0.2,
        patch_p=None,
        dtype="float64",
        colour=True,
    ):
        if n_classes not in (2, 5, 10):
            raise ValueError(f"n_classes is {n_classes!r}; give 2, 5 or 10")
        if patch_p is not None and n_classes != 2:
            raise ValueError(
                f"patch_p is {patch_p!r} with {n_classes} classes; the patch is defined for 2 classes only"
            )
        super().__init__(seed, len(pool[1]), train_p, label_noise, n_per_env, validation, dtype)
        n_envs = len(self.train_p)
        self.patch_p = (
            [None] * n_envs if patch_p is None else one_per_env("patch_p", patch_p, n_envs)
        )
        self.n_classes, self.colour, self._images = n_classes, colour, [pool, test_pool]

    def test(self, p_e, patch_p=None, label_noise=None):
        """Return the test environment at `p_e`: the same images, labels and uniform draws for every `p_e`.

        Parameters
        ----------
        p_e : float in [0, 1]
        patch_p : float in [0, 1], default `p_e`
            Only for trials with patches.
        label_noise : float in [0, 1], default the mean over the training environments
        """
        _checks.number("p_e", p_e, 0, 1)
        if patch_p is not None and self.patch_p[0] is None:
            raise ValueError(
                f"patch_p is {patch_p!r}, but the trial has no patches; make it with patch_p=..."
            )
        if self.patch_p[0] is not None:
            patch_p = p_e if patch_p is None else patch_p
            _checks.number("patch_p", patch_p, 0, 1)
        label_noise = self._noise_of_test(label_noise)
        images, digits = self._images[1]
        draws = self._test_draws(len(digits))
        return self._environment(
            images, digits, draws, f"test p_e={p_e:g}", p_e, label_noise, patch_p
        )

    def greyscale(self):
        """Return the same trial without colour: same images, labels and split, x (n, 196)."""
        return self._twin(colour=False)

    def _training_environment(self, rows, draws, e, name):
        images, digits = (array[rows] for array in self._images[0])
        return self._environment(
            images, digits, draws, name, self.train_p[e], self.label_noise[e], self.patch_p[e]
        )

    def _environment(self, images, digits, draws, name, p_e, label_noise, patch_p):
        k = self.n_classes
        y = (digits.astype(np.int64) // (10 // k) + (draws[0] < label_noise)) % k
        z = (y + (draws[1] < p_e)) % k
        if patch_p is not None:
            images = with_patch(images, (y + (draws[2] < patch_p)) % 2)
        grey = (np.arange(256) / 255).astype(self.dtype)[images.reshape(len(y), -1)]  # (n, 196)
        z, n_channels = (z, k) if self.colour else (np.zeros_like(z), 1)
        return Environment.painted(
            grey, z, n_channels, y, name=name, p_e=p_e, patch_p=patch_p, label_noise=label_noise
        )


def with_patch(images, z):
    """Return the images (n, 14, 14) with a white patch: 3x3 top left where z = 0, 2x2 bottom right where z = 1."""
    images = images.copy()
    images[z == 0, :3, :3] = 255
    images[z == 1, -2:, -2:] = 255
    return images
