"""The values and gradients of `metairm_np.spec` in closed form: chunked, colour-aware, threaded.

docs/derivation.md derives it, line by line:

    network.py     lines 1 to 7: the risk, its gradient and its Hessian times a vector
    objectives.py  lines 8 to 15: the inner steps, the way back through them, and the objectives
    theta.py       parameters as one vector
    plan.py        how an environment is cut into chunks
    small.py       environments of one chunk each, cut together
    sums.py        what runs the chunks in threads and adds up

The functions here have the signatures and the numbers of their namesakes in `metairm_np.spec`, up
to rounding, and raise the same errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from metairm_np import _checks, spec
from metairm_np._autodiff import tree_map
from metairm_np.environments import Environment
from metairm_np.fast import _blas, objectives
from metairm_np.fast.small import problem_of
from metairm_np.fast.sums import threads
from metairm_np.fast.theta import Theta
from metairm_np.mlp import Params, squared_norm

__all__ = [
    "accuracy",
    "adapt",
    "hessian_vector_product",
    "irmv1_penalty",
    "meta_losses",
    "risk",
    "risks",
    "risks_and_accuracies",
    "threads",
    "value_and_grad",
    "value_grad_and_risks",
]


def value_and_grad(
    name: str, params: Params, envs: Sequence[Environment], *, l2: float = 0.0, **hyper: Any
) -> tuple[float, Params]:
    """Return an objective and its exact gradient, in closed form.

    Parameters
    ----------
    name : {"erm", "irmv1", "v_rex", "mm_rex", "meta_irm"}
    params : list of (W, b)
    envs : list of Environment
    l2 : float >= 0, default 0
        Weight of ||theta||^2 (weights and biases), added once to the objective.
    **hyper
        The keywords of the objective, see its function in `metairm_np.spec`.

    Returns
    -------
    value : float
    gradient : list of (dW, db)
        Shapes and dtype of `params`.

    Raises
    ------
    ValueError, TypeError
        For an unknown name or keyword, or input that the objective does not allow.

    Notes
    -----
    Memory beyond the data stays the same for any number of samples above some ten thousands, and
    grows by one copy of the parameters with each inner step; with the number of environments it
    grows for "v_rex" and "mm_rex" alone, by one copy each; a thread has copies of its own.
    Environments of some hundred samples are copied, and the copy is kept as long as they are. With
    OpenBLAS the bits do not depend on the number of threads, see `threads`.
    """
    value, gradient, _ = value_grad_and_risks(name, params, envs, l2=l2, **hyper)
    return value, gradient


@_checks.checked()
def value_grad_and_risks(
    name: str, params: Params, envs: Sequence[Environment], *, l2: float = 0.0, **hyper: Any
) -> tuple[float, Params, np.ndarray]:
    """Return an objective, its exact gradient, and the risks, which it comes by on the way.

    Parameters
    ----------
    name, params, envs, l2, **hyper
        As for `value_and_grad`.

    Returns
    -------
    value : float
    gradient : list of (dW, db)
    risks : (E,) array
        As `risks` returns them, up to rounding; NaN for an environment that "meta_irm" does not
        adapt to, because no pair has it first.
    """
    _checks.keywords(name, hyper, spec.KEYWORDS)
    objective = objectives.OBJECTIVES[name]
    objective.check(params, envs, **hyper)
    l2 = float(l2)
    hyper = {
        key: float(value) if isinstance(value, np.floating) else value
        for key, value in hyper.items()
    }
    dtype, envs = _fitting(params, envs)
    problem = problem_of(envs, (len(params[0][0]), *(len(b) for _, b in params)))
    if hyper.get("gradient_noise") is not None:
        hyper["gradient_noise"] = problem.noise(hyper["gradient_noise"])
    with _blas.one_thread():
        theta = problem.theta(params, dtype)
        value, gradient, found = objective.__wrapped__(theta, problem.envs, **hyper)
    gradient = problem.gradient(gradient, params)
    if l2:
        value += l2 * float(squared_norm(tree_map(lambda part: part.astype(dtype), params)))
        gradient = tree_map(lambda g, part: g + 2 * l2 * part, gradient, params)
    return value, gradient, np.array([found.get(e, np.nan) for e in range(len(envs))], dtype)


def risk(params: Params, env: Environment) -> np.floating:
    """Return R^e(f_theta), the mean loss over the samples of an environment.

    Parameters
    ----------
    params : list of (W, b)
    env : Environment

    Returns
    -------
    number
    """
    return risks(params, [env])[0]


def risks(params: Params, envs: Sequence[Environment]) -> np.ndarray:
    """Return the risks of all environments.

    Parameters
    ----------
    params : list of (W, b)
    envs : list of Environment

    Returns
    -------
    (E,) array
    """
    return risks_and_accuracies(params, envs)[0]


def accuracy(params: Params, env: Environment) -> float:
    """Return the share of samples whose most probable class is the label.

    Parameters
    ----------
    params : list of (W, b)
    env : Environment

    Returns
    -------
    float
        From 0 to 1; a binary tie counts as class 0.
    """
    _, (share,) = risks_and_accuracies(params, [env])
    return float(share)


def risks_and_accuracies(
    params: Params, envs: Sequence[Environment]
) -> tuple[np.ndarray, np.ndarray]:
    """Return `risk` and `accuracy` of each environment, of one pass over the samples.

    Environments that are `Environment.resampled` from the same one share the pass over that.

    Parameters
    ----------
    params : list of (W, b)
    envs : list of Environment

    Returns
    -------
    (E,) array, (E,) array
    """
    theta, envs = _ready(params, envs)
    found, shares = objectives.risks_and_accuracies(theta, envs).T
    return found.astype(theta.vector.dtype), shares


def irmv1_penalty(params: Params, env: Environment) -> float:
    """Return the penalty of IRMv1 for one environment.

    Parameters
    ----------
    params : list of (W, b)
    env : Environment

    Returns
    -------
    float

    Notes
    -----
    (d/dw R^e(w f_theta) at w = 1)^2, in Eq. 2.
    """
    theta, (env,) = _ready(params, [env])
    return float(objectives.penalty_slope(theta, env)[1] ** 2)


def hessian_vector_product(params: Params, env: Environment, vector: Params) -> Params:
    """Return H v, H the Hessian of R^e at theta, which is never formed.

    Parameters
    ----------
    params : list of (W, b)
    env : Environment
    vector : list of (W, b)
        v, in the shapes of `params`.

    Returns
    -------
    list of (W, b)
    """
    theta, (env,) = _ready(params, [env])
    vector = Theta.of(vector, theta.vector.dtype)
    return list(objectives.hessian_vector_products(theta, env, [vector])[0])


@_checks.checked()
def adapt(
    params: Params,
    env: Environment,
    inner_lr: float,
    inner_steps: int = 1,
    *,
    inner_l2: float = 0.0,
    gradient_noise: Sequence | None = None,
    first_order: bool = False,
) -> Params:
    """Return theta'_i, adapted to environment i by gradient steps on its risk.

    Parameters
    ----------
    params : list of (W, b)
    env : Environment
    inner_lr : float >= 0
        alpha.
    inner_steps : int >= 1, default 1
    inner_l2 : float >= 0, default 0
        Weight of ||theta||^2 in the objective of the inner steps.
    gradient_noise : optional
        DropGrad multipliers, gradient_noise[t] = [(mW, mb), ...] for inner step t.
    first_order : bool, default False
        Changes the derivative of theta'_i for theta, hence nothing here.

    Returns
    -------
    list of (W, b)

    Notes
    -----
    theta'_i = theta - alpha grad R_i(theta), Eq. 3, `inner_steps` times.
    """
    theta, (env,) = _ready(params, [env])
    inner = objectives.InnerLoop(env, inner_lr, inner_steps, inner_l2, gradient_noise)
    return list(objectives.trajectory(theta, inner)[0][-1])


@_checks.checked(2)
def meta_losses(
    params: Params,
    envs: Sequence[Environment],
    inner_lr: float,
    inner_steps: int = 1,
    *,
    first_order: bool = False,
    same_env: bool = False,
    inner_l2: float = 0.0,
    gradient_noise: Sequence | None = None,
    pairs: Sequence | None = None,
) -> np.ndarray:
    """Return the meta-losses R_j(theta'_i).

    Parameters
    ----------
    params : list of (W, b)
    envs : list of Environment
    inner_lr, inner_steps, inner_l2, first_order
        As in `adapt`.
    same_env : bool, default False
        Evaluate each theta'_i on its own environment instead of the others (ablation).
    gradient_noise : optional
        DropGrad multipliers, gradient_noise[i][t] = [(mW, mb), ...] for environment i and inner
        step t.
    pairs : list of (i, j), optional
        Which R_j(theta'_i) are evaluated; default all j != i.

    Returns
    -------
    (P,) array
        In the order of `pairs`.

    Notes
    -----
    R_j(theta'_i) is Eq. 4.
    """
    theta, envs = _ready(params, envs)
    pairs = spec.all_pairs(len(envs), same_env) if pairs is None else pairs
    adapted = {}
    for i in sorted({i for i, _ in pairs}):
        noise = None if gradient_noise is None else gradient_noise[i]
        inner = objectives.InnerLoop(envs[i], inner_lr, inner_steps, inner_l2, noise)
        adapted[i] = objectives.trajectory(theta, inner)[0][-1]
    found = [objectives.risks_and_accuracies(adapted[i], [envs[j]])[0, 0] for i, j in pairs]
    return np.array(found, theta.vector.dtype)


def _ready(params, envs):
    """Check that the model fits the data, and return both in one dtype."""
    dtype, envs = _fitting(params, envs)
    return Theta.of(params, dtype), envs


def _fitting(params, envs):
    """Check that the model fits the data, and return the dtype of both and the data in it."""
    width = None
    _checks.environments("envs", envs)
    for env in envs:
        if env.shape[1] != width:
            width = env.shape[1]
            _checks.model(params, width)
        _checks.labels(env.y, params[-1][0].shape[1])
    arrays = [part for pair in params for part in pair]
    dtype = np.result_type(*[part.dtype for part in arrays], *[env.dtype for env in envs])
    dtype = np.dtype(np.float32 if dtype == np.float32 else np.float64)
    return dtype, [env if env.dtype == dtype else env.astype(dtype) for env in envs]
