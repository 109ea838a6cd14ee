"""The paper, executable, in its own order: what every backend must agree with.

Bae, Choi and Lee, "Meta-Learned Invariant Risk Minimization", 2021 (arXiv:2103.12947). theta is
`params`, a list of (W, b), W : (in, out) and b : (out,); R^e is the risk in environment e, one of
`envs`, a list of Environment; alpha is `inner_lr`, lambda is `std_weight`. Results keep the inputs'
dtype. `@checked` raises ValueError or TypeError for what `metairm_np._checks.RULES` forbids.
"""

import inspect
from collections.abc import Callable, Iterator

import autograd
import autograd.numpy as np

from metairm_np._autodiff import largest_other, stop_gradient, tree_map
from metairm_np._checks import checked, keywords
from metairm_np.environments import Environment
from metairm_np.mlp import Params, logits, squared_norm

# ---- 3.1 the risk --------------------------------------------------------------------------------


@checked()
def cross_entropy(f: np.ndarray, y: np.ndarray) -> np.floating:
    """Return the mean cross-entropy of outputs (n, out) for labels (n,): logistic if out = 1.

    It is log(1 + e^z), e^z the odds against y: z = -f or f if out = 1, or log sum_{c != y} e^f_c
    less f_y, so that no digits cancel.
    """
    if f.shape[1] == 1:
        sign = np.asarray(2 * y - 1, dtype=f.dtype)  # -1 or +1
        z = -sign * f[:, 0]  # (n,)
    else:
        own = np.eye(f.shape[1], dtype=f.dtype)[y]  # (n, out), 1 at y
        others = 1 - own
        top = largest_other(f, y)  # (n, 1), taken from all f_c so that e^f_c is finite
        total = np.sum(others * np.exp(others * f - others * top), axis=1)
        z = top[:, 0] - np.sum(own * f, axis=1) + np.log(total)
    return np.sum(np.logaddexp(0.0, z)) / len(y)  # curvature 1/4 at z = 0


@checked()
def risk(params: Params, env: Environment) -> np.floating:
    """Return R^e(f_theta), the mean loss over the samples of `env`."""
    return cross_entropy(logits(params, env.x), env.y)


def risks(params: Params, envs: list[Environment]) -> np.ndarray:
    """Return the risks of all environments, an (E,) array."""
    return np.array([risk(params, env) for env in envs])


# ---- 3.2 invariant risk minimization -------------------------------------------------------------


@checked(1)
def erm(params: Params, envs: list[Environment]) -> np.floating:
    """Return sum_e R^e, the sum in Eq. 1: empirical risk minimization."""
    return np.sum(risks(params, envs))


def irmv1_penalty(params: Params, env: Environment) -> np.floating:
    """Return (d/dw R^e(w f_theta) at w = 1)^2, the penalty in Eq. 2 for one environment."""
    f = logits(params, env.x)
    return autograd.grad(lambda w: cross_entropy(w * f, env.y))(1.0) ** 2


@checked(1)
def irmv1(params: Params, envs: list[Environment], penalty_weight: float) -> np.floating:
    """Return sum_e R^e + penalty_weight sum_e penalty^e (Eq. 2; arXiv:1907.02893)."""
    return erm(params, envs) + penalty_weight * sum(irmv1_penalty(params, env) for env in envs)


# ---- 3.3 meta-IRM --------------------------------------------------------------------------------


@checked()
def inner_loop(
    objective: Callable, params: Params, inner_lr: float, inner_steps: int = 1, *,
    gradient_noise: list | None = None, first_order: bool = False,
) -> Params:  # fmt: skip
    """Return theta after `inner_steps` gradient steps on `objective`, a function of params.

    gradient_noise[t] = [(mW, mb), ...] multiplies the gradient of step t (DropGrad; Tseng et al.,
    2020). With `first_order` the gradients are constants, so that d theta' / d theta = 1.
    """
    for t in range(inner_steps):
        gradient = autograd.grad(objective)(params)
        if first_order:
            gradient = tree_map(stop_gradient, gradient)
        if gradient_noise is not None:
            gradient = tree_map(np.multiply, gradient_noise[t], gradient)
        params = tree_map(lambda p, g: p - inner_lr * g, params, gradient)
    return params


@checked()
def adapt(
    params: Params, env: Environment, inner_lr: float, inner_steps: int = 1, *,
    inner_l2: float = 0.0, gradient_noise: list | None = None, first_order: bool = False,
) -> Params:  # fmt: skip
    """Return theta'_i = theta - alpha grad R_i(theta), adapted to environment i (Eq. 3).

    `inner_l2` adds inner_l2 ||theta||^2 to R_i; the other options are those of `inner_loop`.
    """
    return inner_loop(
        lambda theta: risk(theta, env) + inner_l2 * squared_norm(theta),
        params, inner_lr, inner_steps, gradient_noise=gradient_noise, first_order=first_order,
    )  # fmt: skip


def all_pairs(n_envs: int, same_env: bool = False) -> list[tuple[int, int]]:
    """Return the pairs (i, j), j != i, in lexicographic order; (i, i) with `same_env`."""
    return [(i, j) for i in range(n_envs) for j in range(n_envs) if (i == j) == same_env]


@checked(2)
def meta_losses(
    params: Params, envs: list[Environment], inner_lr: float, inner_steps: int = 1, *,
    first_order: bool = False, same_env: bool = False, inner_l2: float = 0.0,
    gradient_noise: list | None = None, pairs: list | None = None,
) -> np.ndarray:  # fmt: skip
    """Return the meta-losses R_j(theta'_i), a 1-d array in the order of `pairs` (Eq. 4).

    The `pairs` (i, j) are evaluated; by default all with j != i, or j = i with `same_env`, an
    ablation. gradient_noise[i][t] is that of step t in environment i; other options: `adapt`.
    """
    pairs = all_pairs(len(envs), same_env) if pairs is None else pairs
    options: dict = {"inner_l2": inner_l2, "first_order": first_order}
    adapted = {}
    for i in sorted({i for i, _ in pairs}):
        noise = None if gradient_noise is None else gradient_noise[i]
        adapted[i] = adapt(params, envs[i], inner_lr, inner_steps, gradient_noise=noise, **options)
    return np.array([risk(adapted[i], envs[j]) for i, j in pairs])


def variance(values: np.ndarray) -> np.floating:
    """Return the population variance of a 1-d array."""
    return np.mean((values - np.mean(values)) ** 2)


def sigma(values: np.ndarray) -> np.floating:
    """Return the population standard deviation (Eq. 5); where it is 0, its derivative is 0."""
    squared = variance(values)
    return np.sqrt(squared) if squared > 0 else 0.0 * squared


@checked(2)
def meta_irm(
    params: Params, envs: list[Environment], inner_lr: float, std_weight: float,
    inner_steps: int = 1, first_order: bool = False, same_env: bool = False, *,
    inner_l2: float = 0.0, gradient_noise: list | None = None, pairs: list | None = None,
) -> np.floating:  # fmt: skip
    """Return sum_ij R_j(theta'_i) + lambda sigma, the braces of Eq. 6; options: `meta_losses`."""
    options: dict = {"inner_l2": inner_l2, "gradient_noise": gradient_noise, "pairs": pairs}
    options |= {"first_order": first_order, "same_env": same_env}
    L = meta_losses(params, envs, inner_lr, inner_steps, **options)
    return np.sum(L) + std_weight * sigma(L)


# ---- Algorithm 1 ---------------------------------------------------------------------------------


@checked(2)
def algorithm_1(
    params: Params, envs: list[Environment], inner_lr: float, std_weight: float, outer_lr: float,
    rng: np.random.Generator | None = None, **options,
) -> Iterator[Params]:  # fmt: skip
    """Yield theta after each outer step of Algorithm 1, plain gradient descent, on and on.

    With `rng` an e_j is sampled for each theta'_i, else all j != i count; options: `meta_irm`.
    """
    E, objective = len(envs), {"inner_lr": inner_lr, "std_weight": std_weight, **options}
    while True:
        if rng is not None:
            objective["pairs"] = [(i, (i + rng.integers(1, E)) % E) for i in range(E)]
        _, gradient = value_and_grad("meta_irm", params, envs, **objective)  # of Eq. 6's braces
        params = tree_map(lambda p, g: p - outer_lr * g, params, gradient)
        yield params


# ---- risk extrapolation (Krueger et al., 2021, arXiv:2003.00688) ---------------------------------


@checked(2)
def v_rex(params: Params, envs: list[Environment], penalty_weight: float) -> np.floating:
    """Return sum_e R^e + penalty_weight Var_e R^e, the population variance."""
    R = risks(params, envs)
    return np.sum(R) + penalty_weight * variance(R)


@checked(2)
def mm_rex(params: Params, envs: list[Environment], lambda_min: float) -> np.floating:
    """Return (1 - E lambda_min) max_e R^e + lambda_min sum_e R^e; ties share the derivative."""
    R = risks(params, envs)
    return (1 - len(envs) * lambda_min) * np.max(R) + lambda_min * np.sum(R)


# ---- the gradient, and what else is asked --------------------------------------------------------

OBJECTIVES: dict[str, Callable] = {f.__name__: f for f in (erm, irmv1, v_rex, mm_rex, meta_irm)}
KEYWORDS = {name: list(inspect.signature(f).parameters)[2:] for name, f in OBJECTIVES.items()}


@checked()
def value_and_grad(
    name: str, params: Params, envs: list[Environment], *, l2: float = 0.0, **hyper
) -> tuple[float, Params]:
    """Return an objective, a float, and its exact gradient, a list of (dW, db), by autograd.

    Parameters
    ----------
    name : {"erm", "irmv1", "v_rex", "mm_rex", "meta_irm"}
    params, envs : list of (W, b), list of Environment
    l2 : float >= 0, default 0
        Weight of ||theta||^2 (weights and biases), added once to the objective.
    **hyper
        The keywords of the objective, see its function.
    """
    keywords(name, hyper, KEYWORDS)

    def objective(theta):
        return OBJECTIVES[name](theta, envs, **hyper) + l2 * squared_norm(theta)

    value, gradient = autograd.value_and_grad(objective)([tuple(pair) for pair in params])
    return float(value), gradient


def hessian_vector_product(params: Params, env: Environment, vector: Params) -> Params:
    """Return H v, H the Hessian of R^e at theta, v the list of (W, b) `vector`."""
    product, _ = autograd.make_hvp(risk)([tuple(pair) for pair in params], env)
    return product([tuple(pair) for pair in vector])


def accuracy(params: Params, env: Environment) -> float:
    """Return the share of samples whose most probable class is y; a binary tie is class 0."""
    f = logits(params, env.x)
    guess = f[:, 0] > 0 if f.shape[1] == 1 else np.argmax(f, axis=1)
    return float(np.mean(guess == env.y))
