"""What a model reads of a painted image: the digit, and the colour beside it.

Accuracies that are equal over p_e do not show it: where theta leans on the colour for some images
and against it for others, it is wrong more often in *every* environment.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metairm_np.environments import Environment
from metairm_np.mlp import Params, logits


class Decomposition(NamedTuple):
    """What `decomposition` returns.

    Parameters
    ----------
    digits : float
        The accuracy, from 0 to 1, of the logits averaged over all colours.
    effect, spread : float
        Mean and population standard deviation of the effect of repainting.
    """

    digits: float
    effect: float
    spread: float


def decomposition(params: Params, env: Environment) -> Decomposition:
    """Return what the logits owe to the images and what to their colours.

    Each image is painted in each of the k colours, k the number of classes. The logits f(x) of an
    image x in all its colours have a mean, which says how well the digit is read, and differences,
    which say what the colour does to it:

        D_z(x) = m_z(x in colour z) - the mean over z' != z of m_z(x in colour z')

    where the margin m_z is the logit of class z minus the mean of the others'. D_z > 0 means that
    colour z speaks for class z; of a model that ignores the colour all D_z(x) are 0. For two
    classes with their one logit f, D_0 = D_1 = f(x in colour 1) - f(x in colour 0).

    Parameters
    ----------
    params : list of (W, b)
    env : Environment
        Made by `Environment.painted` with as many channels as the model has classes. Its own
        colours do not matter: environments that differ in p_e alone have the same decomposition.

    Returns
    -------
    Decomposition
        Mean and spread are those of D_z(x) over all images and colours.

    Raises
    ------
    ValueError
        If the environment is not one of images painted in k colours.
    """
    return _decomposed(effect_of_repainting(params, env), env.y)


def decomposition_over(params: Params, in_each_colour: list, y: np.ndarray) -> Decomposition:
    """Return the same for any samples that can be had in each of k colours.

    Parameters
    ----------
    params : list of (W, b)
    in_each_colour : list of (n, d) array
        The samples in each colour.
    y : (n,) array
        Their labels.

    Returns
    -------
    Decomposition
    """
    return _decomposed(_effect([logits(params, x) for x in in_each_colour]), y)


def _decomposed(effect, y):
    D, f = effect
    right = np.argmax(f, axis=1) == y
    return Decomposition(float(right.mean()), float(D.mean()), float(D.std()))


def effect_of_repainting(params: Params, env: Environment) -> tuple[np.ndarray, np.ndarray]:
    """Return what the colour does to the logits of each image, and their mean over the colours.

    Parameters
    ----------
    params, env
        As for `decomposition`.

    Returns
    -------
    D : (k, n) array
        D_z(x) of `decomposition`.
    f : (n, k) array
        The logits averaged over the colours; two classes' one logit f as (-f / 2, f / 2).

    Raises
    ------
    ValueError
    """
    k = max(params[-1][0].shape[1], 2)
    if not is_painted(env, k):
        raise ValueError(
            f"the environment is not of images painted in {k} colours, one for each class; "
            "give one made by Environment.painted"
        )
    n_pixels = env.shape[1] // k
    (W, b), *others = params
    images = _without_colour(env, n_pixels)
    # (k, n, out): painting the images in colour z leaves the z-th of the first layer's k blocks
    return _effect([logits([(block, b), *others], images) for block in np.split(W, k)])


def _effect(of_each_colour):
    """Return D, (k, n), and the mean logits, (n, k), of the logits in each colour, (n, out)."""
    k, f = len(of_each_colour), np.array(of_each_colour, float)
    if f.shape[2] == 1:
        f = np.concatenate([-f / 2, f / 2], axis=2)
    margins = (k * f - f.sum(axis=2, keepdims=True)) / (k - 1)
    own = np.array([margins[z, :, z] for z in range(k)])  # (k, n)
    repainted = (margins.sum(axis=0).T - own) / (k - 1)
    return own - repainted, f.mean(axis=0)


def is_painted(env: Environment, n_colours: int) -> bool:
    """Return whether an environment is of images painted in so many colours.

    Parameters
    ----------
    env : Environment
    n_colours : int

    Returns
    -------
    bool
    """
    n_pixels, rest = divmod(env.shape[1], n_colours)
    if rest or not env.groups[0].ones:
        return False
    columns = [np.arange(env.shape[1])[group.columns] for group in env.groups]
    channels = [np.unique(some // n_pixels) for some in columns]
    return all(len(found) <= 1 for found in channels)


def _without_colour(env, n_pixels):
    """Return the images of a painted environment, (n, n_pixels)."""
    images = np.zeros((len(env), n_pixels), env.dtype)
    for group in env.groups:
        for block in group.blocks:
            x = block.x[:, 1:]
            images[block.rows[:, None], group.columns[: x.shape[1]] % n_pixels] = x
    return images
