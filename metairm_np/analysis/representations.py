"""How alike representations are before and after the inner step (Fig. 9), and elsewhere (10)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from metairm_np import fast, mlp
from metairm_np.analysis.decomposition import effect_of_repainting
from metairm_np.analysis.pwcca import pwcca
from metairm_np.environments import Environment


def layers(params: list, x: np.ndarray) -> list[np.ndarray]:
    """Return the outputs of all layers, the last being the logits.

    Parameters
    ----------
    params : list of (W, b)
    x : (n, d) array

    Returns
    -------
    list of array
        (n, H_1), ..., (n, out): after the ReLU but for the logits.
    """
    outputs = [x]
    for W, b in params[:-1]:
        outputs.append(mlp.relu(outputs[-1] @ W + b))
    W, b = params[-1]
    return [*outputs[1:], outputs[-1] @ W + b]


def similarity_after_adaptation(
    params: list, env: Environment, inner_lr: float, **inner
) -> list[float]:
    """Return the PWCCA similarity of each layer's outputs under theta and under theta' (Eq. 3).

    Parameters
    ----------
    params : list of (W, b)
    env : Environment
        The samples adapted to, whose outputs are compared.
    inner_lr : float
        alpha.
    **inner
        inner_steps and inner_l2, as in `metairm_np.spec.adapt`. DropGrad's noise is left out.

    Returns
    -------
    list of float
        From 0 to 1, the classifier's (the logits') last.
    """
    adapted = fast.adapt(params, env, inner_lr, **inner)
    return [
        pwcca(before, after) for before, after in zip(layers(params, env.x), layers(adapted, env.x))
    ]


def similarity_across(params: list, envs: list[Environment], layer: int) -> list[float]:
    """Return the PWCCA similarity of a layer's outputs on the first environment and on each.

    Parameters
    ----------
    params : list of (W, b)
    envs : list of Environment
        With rows that belong together, such as `trial.test(p_e)` for several p_e.
    layer : int
        As an index of `layers`: -1 the logits, -2 the input of the classifier.

    Returns
    -------
    list of float
    """
    outputs = [layers(params, env.x)[layer] for env in envs]
    return [pwcca(outputs[0], other) for other in outputs]


def similarity_of_repainted(params: list, env: Environment, shares: ArrayLike) -> np.ndarray:
    """Return what `similarity_across` of the logits is where colours alone make the difference.

    Of two classes' one logit f the PWCCA similarity is |correlation|. Where a share s of the
    images, whichever they are, changes its colour, f changes by the effect of repainting D, so that

        E (f - f')^2 = s E D^2,  correlation = 1 - s E D^2 / (2 Var f)

    as long as f' varies as much as f. E D^2 is mean^2 + spread^2 of `decomposition`.

    Parameters
    ----------
    params : list of (W, b)
        Of a model with one logit.
    env : Environment
        Images painted in two colours.
    shares : array of float
        From 0 to 1; between environments |p_e - p_e'|.

    Returns
    -------
    array of float
    """
    (D, _), _ = effect_of_repainting(params, env)
    return np.abs(1 - np.asarray(shares) * np.mean(D**2) / (2 * np.var(mlp.logits(params, env.x))))
