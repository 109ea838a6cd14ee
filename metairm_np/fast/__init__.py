"""The values and gradients of `metairm_np.spec` in closed form: chunked, colour-aware, threaded. docs/derivation.md derives it.

    network.py     lines 1 to 7: the risk, its gradient and its Hessian times a vector, on one chunk
    of samples sums.py        what cuts environments into chunks, runs them in threads and adds up
    objectives.py  lines 8 to 15: the inner steps, the way back through them, and the objectives

The functions here have the signatures and the numbers of their namesakes in `metairm_np.spec`, up
to rounding.
"""

import numpy as np

from metairm_np import _checks, spec
from metairm_np._autodiff import tree_map
from metairm_np.fast import objectives
from metairm_np.fast.sums import threads
from metairm_np.mlp import squared_norm

__all__ = [
    "accuracy",
    "adapt",
    "hessian_vector_product",
    "irmv1_penalty",
    "meta_losses",
    "risk",
    "risks",
    "threads",
    "value_and_grad",
]


@_checks.checked()
def value_and_grad(name, params, envs, *, l2=0.0, **hyper):
    """Return an objective and its exact gradient, in closed form.

    Memory beyond the data stays the same for any number of samples above some ten thousands, and
    grows by one copy of the parameters with each inner step; with the number of environments it
    grows for "v_rex" and "mm_rex" alone, by one copy each. With OpenBLAS the bits do not depend on
    the number of threads, which is OPENBLAS_NUM_THREADS, OMP_NUM_THREADS or MKL_NUM_THREADS, the
    first that is set, or else the number of cores.

    Parameters, results and errors are those of `metairm_np.spec.value_and_grad`.
    """
    _checks.keywords(name, hyper, spec.KEYWORDS)
    l2 = float(l2)
    hyper = {
        key: float(value) if isinstance(value, np.floating) else value
        for key, value in hyper.items()
    }
    theta, envs = _ready(params, envs)
    value, gradient = objectives.OBJECTIVES[name](theta, envs, **hyper)
    if l2:
        value, gradient = (
            value + l2 * float(squared_norm(theta)),
            objectives.plus(gradient, 2 * l2, theta),
        )
    return value, tree_map(lambda part, g: g.astype(part.dtype, copy=False), params, gradient)


def risk(params, env):
    """Return R^e(f_theta), as `metairm_np.spec.risk`."""
    return risks(params, [env])[0]


def risks(params, envs):
    """Return the risks of all environments, as `metairm_np.spec.risks`."""
    params, envs = _ready(params, envs)
    return np.array(
        [objectives.risk_and_accuracy(params, env)[0] for env in envs], params[0][0].dtype
    )


def accuracy(params, env):
    """Return the share of samples of `env` whose most probable class is the label, as `metairm_np.spec.accuracy`."""
    params, (env,) = _ready(params, [env])
    return float(objectives.risk_and_accuracy(params, env)[1])


def irmv1_penalty(params, env):
    """Return the penalty in Eq. 2 for one environment, as `metairm_np.spec.irmv1_penalty`."""
    params, (env,) = _ready(params, [env])
    return float(objectives.penalty_slope(params, env)[1] ** 2)


def hessian_vector_product(params, env, vector):
    """Return H v, H the Hessian of R^e at theta, as `metairm_np.spec.hessian_vector_product`."""
    theta, (env,) = _ready(params, [env])
    vector = tree_map(lambda part, v: v.astype(part.dtype, copy=False), theta, vector)
    return objectives.hessian_vector_products(theta, env, [vector])[0]


@_checks.checked()
def adapt(
    params, env, inner_lr, inner_steps=1, *, inner_l2=0.0, gradient_noise=None, first_order=False
):
    """Return theta'_i (Eq. 3), as `metairm_np.spec.adapt`."""
    theta, (env,) = _ready(params, [env])
    return objectives.trajectory(theta, env, inner_lr, inner_steps, inner_l2, gradient_noise)[-1]


@_checks.checked(2)
def meta_losses(
    params,
    envs,
    inner_lr,
    inner_steps=1,
    *,
    first_order=False,
    same_env=False,
    inner_l2=0.0,
    gradient_noise=None,
    pairs=None,
):
    """Return the meta-losses R_j(theta'_i), a 1-d array in the order of `pairs` (Eq. 4), as `metairm_np.spec.meta_losses`."""
    params, envs = _ready(params, envs)
    pairs = spec.all_pairs(len(envs), same_env) if pairs is None else pairs
    adapted = {}
    for i in sorted({i for i, _ in pairs}):
        noise = None if gradient_noise is None else gradient_noise[i]
        adapted[i] = objectives.trajectory(params, envs[i], inner_lr, inner_steps, inner_l2, noise)[
            -1
        ]
    return np.array([risk(adapted[i], envs[j]) for i, j in pairs])


def _ready(params, envs):
    """Check that the model fits the data, and give both in one dtype."""
    for env in envs:
        _checks.model(params, env.shape[1])
        _checks.labels(env.y, params[-1][0].shape[1])
    dtype = np.result_type(
        *[part.dtype for pair in params for part in pair], *[env.dtype for env in envs]
    )
    dtype = np.float32 if dtype == np.float32 else np.float64
    return tree_map(lambda part: part.astype(dtype, copy=False), params), [
        env.astype(dtype) for env in envs
    ]
