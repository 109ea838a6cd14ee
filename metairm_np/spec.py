"""The paper, executable: its Equations 1 to 6 and the baselines' objectives, differentiated by autograd.

Bae, Choi and Lee, "Meta-Learned Invariant Risk Minimization", 2021 (arXiv:2103.12947). theta are
the parameters, R^e is the risk in environment e, alpha the inner learning rate (`inner_lr`), lambda
the weight of sigma (`std_weight`). All are plain functions of (params, envs): params a list of (W,
b), envs a list of Environment; results keep the inputs' dtype. Every function raises ValueError or
TypeError, in one sentence, for input outside what its docstring allows.
"""

import inspect

import autograd
import autograd.numpy as np

from metairm_np import _checks
from metairm_np._autodiff import logsumexp, stop_gradient, tree_map
from metairm_np.mlp import logits, squared_norm

# ---- the risk ------------------------------------------------------------------------------------


def cross_entropy(f, y):
    """Return the mean cross-entropy of the outputs `f` (n, out) for the labels `y` (n,): logistic if out = 1, else softmax."""
    _checks.labels(y, f.shape[1])
    if f.shape[1] == 1:
        sign = np.asarray(2 * y - 1, dtype=f.dtype)  # -1 or +1
        return np.sum(np.logaddexp(0.0, -sign * f[:, 0])) / len(
            y
        )  # log(1 + e^-z), curvature 1/4 at 0
    one_hot = np.eye(f.shape[1], dtype=f.dtype)[y]  # (n, out)
    return np.sum(logsumexp(f) - np.sum(one_hot * f, axis=1)) / len(y)


def risk(params, env):
    """Return R^e(f_theta), the mean loss over the samples of `env`."""
    return cross_entropy(logits(params, env.x), env.y)


def hessian_vector_product(params, env, vector):
    """Return H v, H the Hessian of R^e at theta, v the list of (W, b) `vector`."""
    product, _ = autograd.make_hvp(risk)([tuple(pair) for pair in params], env)
    return product([tuple(pair) for pair in vector])


def risks(params, envs):
    """Return the risks of all environments, an (E,) array."""
    return np.array([risk(params, env) for env in envs])


def accuracy(params, env):
    """Return the share of samples of `env` whose most probable class is the label; a binary tie counts as class 0."""
    f = logits(params, env.x)
    guess = f[:, 0] > 0 if f.shape[1] == 1 else np.argmax(f, axis=1)
    return float(np.mean(guess == env.y))


def variance(values):
    """Return the population variance of a 1-d array."""
    return np.mean((values - np.mean(values)) ** 2)


def sigma(values):
    """Return the population standard deviation of a 1-d array (Eq. 5), with derivative 0, not NaN, where it is 0."""
    squared = variance(values)
    return np.sqrt(squared) if squared > 0 else 0.0 * squared


# ---- the baselines -------------------------------------------------------------------------------


def erm(params, envs):
    """Empirical risk minimisation: sum_e R^e, the sum in Eq. 1."""
    _checks.environments(envs, 1, "erm")
    return np.sum(risks(params, envs))


def irmv1_penalty(params, env):
    """Return (d/dw R^e(w f_theta) at w = 1)^2, the penalty in Eq. 2 for one environment."""
    f = logits(params, env.x)
    return autograd.grad(lambda w: cross_entropy(w * f, env.y))(1.0) ** 2


def irmv1(params, envs, penalty_weight):
    """IRMv1: sum_e R^e + penalty_weight sum_e penalty^e (Eq. 2; Arjovsky et al., 2019, arXiv:1907.02893)."""
    _checks.environments(envs, 1, "irmv1")
    _checks.number("penalty_weight", penalty_weight, low=0)
    return erm(params, envs) + penalty_weight * sum(irmv1_penalty(params, env) for env in envs)


def v_rex(params, envs, penalty_weight):
    """V-REx: sum_e R^e + penalty_weight Var_e R^e, population variance (Krueger et al., 2021, arXiv:2003.00688)."""
    _checks.environments(envs, 2, "v_rex")
    _checks.number("penalty_weight", penalty_weight, low=0)
    R = risks(params, envs)
    return np.sum(R) + penalty_weight * variance(R)


def mm_rex(params, envs, lambda_min):
    """MM-REx: (1 - E lambda_min) max_e R^e + lambda_min sum_e R^e, lambda_min <= 1/E (Krueger et al., 2021).

    Environments that tie for the maximum share its derivative equally.
    """
    _checks.environments(envs, 2, "mm_rex")
    _checks.number("lambda_min", lambda_min, high=1 / len(envs))
    R = risks(params, envs)
    return (1 - len(envs) * lambda_min) * np.max(R) + lambda_min * np.sum(R)


# ---- meta-IRM ------------------------------------------------------------------------------------


def inner_loop(
    objective, params, inner_lr, inner_steps=1, *, gradient_noise=None, first_order=False
):
    """Return theta after `inner_steps` gradient steps on `objective`, a function of params.

    gradient_noise[t] (DropGrad; Tseng et al., 2020) multiplies the gradient of step t, layer by layer: [(mW,
    mb), ...]. With `first_order` the gradients are constants, so that d theta' / d theta = 1.
    """
    _checks.number("inner_lr", inner_lr, low=0)
    _checks.count("inner_steps", inner_steps, 1)
    _checks.switch("first_order", first_order)
    for t in range(inner_steps):
        gradient = autograd.grad(objective)(params)
        if first_order:
            gradient = tree_map(stop_gradient, gradient)
        if gradient_noise is not None:
            gradient = tree_map(np.multiply, gradient_noise[t], gradient)
        params = tree_map(lambda p, g: p - inner_lr * g, params, gradient)
    return params


def adapt(
    params, env, inner_lr, inner_steps=1, *, inner_l2=0.0, gradient_noise=None, first_order=False
):
    """Return theta'_i = theta - alpha grad R_i(theta), adapted to environment i (Eq. 3).

    `inner_l2` adds inner_l2 ||theta||^2 to the risk that the inner steps descend; `gradient_noise`: see
    `inner_loop`.
    """
    _checks.number("inner_l2", inner_l2, low=0)
    return inner_loop(
        lambda theta: risk(theta, env) + inner_l2 * squared_norm(theta),
        params,
        inner_lr,
        inner_steps,
        gradient_noise=gradient_noise,
        first_order=first_order,
    )


def all_pairs(n_envs, same_env=False):
    """Return the pairs (i, j), j != i, in lexicographic order; (i, i) with `same_env`."""
    return [(i, j) for i in range(n_envs) for j in range(n_envs) if (i == j) == same_env]


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
    """Return the meta-losses R_j(theta'_i), a 1-d array in the order of `pairs` (Eq. 4).

    Parameters
    ----------
    first_order : bool, default False
        Take the inner gradients as constants (ablation).
    same_env : bool, default False
        Evaluate each theta'_i on its own environment instead of the others (ablation: MAML without
        the exchange).
    inner_l2 : float >= 0, default 0
        Weight of ||theta||^2 in the objective of the inner steps.
    gradient_noise : optional
        DropGrad multipliers, gradient_noise[i][t] = [(mW, mb), ...] for environment i and inner
        step t.
    pairs : list of (i, j), optional
        Which R_j(theta'_i) are evaluated, as Algorithm 1 samples e_j; default `all_pairs`.
    """
    _checks.environments(envs, 2, "meta_irm")
    _checks.switch("same_env", same_env)
    pairs = (
        all_pairs(len(envs), same_env)
        if pairs is None
        else _checks.pairs(pairs, len(envs), same_env)
    )
    _checks.gradient_noise(gradient_noise, params, len(envs), inner_steps)
    adapted = {}
    for i in sorted({i for i, _ in pairs}):
        noise = None if gradient_noise is None else gradient_noise[i]
        adapted[i] = adapt(
            params,
            envs[i],
            inner_lr,
            inner_steps,
            inner_l2=inner_l2,
            gradient_noise=noise,
            first_order=first_order,
        )
    return np.array([risk(adapted[i], envs[j]) for i, j in pairs])


def meta_irm(
    params, envs, inner_lr, std_weight, inner_steps=1, first_order=False, same_env=False, **options
):
    """Meta-IRM: sum_ij R_j(theta'_i) + lambda sigma, the braces of Eq. 6; `options` as in `meta_losses`."""
    _checks.number("std_weight", std_weight, low=0)
    L = meta_losses(
        params, envs, inner_lr, inner_steps, first_order=first_order, same_env=same_env, **options
    )
    return np.sum(L) + std_weight * sigma(L)


# ---- the gradient --------------------------------------------------------------------------------

OBJECTIVES = {"erm": erm, "irmv1": irmv1, "v_rex": v_rex, "mm_rex": mm_rex, "meta_irm": meta_irm}


def objective_keywords(name):
    """Return the keywords that objective `name` takes besides `l2`."""
    _checks.choice("objective", name, OBJECTIVES)
    functions = [OBJECTIVES[name], meta_losses] if name == "meta_irm" else [OBJECTIVES[name]]
    keywords = {
        key: None for f in functions for key in inspect.signature(f).parameters
    }  # a dict keeps the order
    return [key for key in keywords if key not in ("params", "envs", "options")]


def with_inner_l2(hyper, l2):
    """Return `hyper` with the switch `inner_l2=True` or False replaced by the weight `l2` or 0."""
    switch = hyper.get("inner_l2")
    return {**hyper, "inner_l2": l2 * switch} if isinstance(switch, bool) else hyper


def value_and_grad(name, params, envs, *, l2=0.0, **hyper):
    """Return an objective and its exact gradient, by autograd.

    Parameters
    ----------
    name : {"erm", "irmv1", "v_rex", "mm_rex", "meta_irm"}
    params : list of (W, b)
    envs : list of Environment
    l2 : float >= 0, default 0
        Weight of ||theta||^2 (weights and biases), added once to the objective.
    **hyper
        The keywords of the objective, see its function. `inner_l2=True` stands for the value of
        `l2`.

    Returns
    -------
    value : float
    gradient : list of (dW, db)
        Shapes and dtype of `params`.

    Raises
    ------
    ValueError, TypeError
        For an unknown name or keyword, or input that the objective does not allow.
    """
    _checks.keywords(name, hyper, objective_keywords(name))
    _checks.number("l2", l2, low=0)
    hyper = with_inner_l2(hyper, l2)
    params = [tuple(pair) for pair in params]

    def objective(theta):
        return OBJECTIVES[name](theta, envs, **hyper) + l2 * squared_norm(theta)

    value, gradient = autograd.value_and_grad(objective)(params)
    return float(value), gradient
