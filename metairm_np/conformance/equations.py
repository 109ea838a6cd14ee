"""The paper's objectives around any risk, of which only values and gradients are known.

Each is a function of a `Model` and theta, a vector, that returns at(h): its value and gradient in
one vector, where derivatives of the gradient are central differences with steps of h. That is an
even function of h, whose limit `extrapolated` finds.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from metairm_np import spec
from metairm_np.conformance import replies
from metairm_np.conformance.trees import Layout

STEPS = [2.0**-k for k in range(8, 24, 2)]  # each a quarter of the one before
COARSE = 2.0**-30  # to what "coarse rounding" rounds


@dataclass
class Model:
    """A risk and its gradient as functions of one vector, with an environment's number.

    Attributes
    ----------
    layout : Layout
    risk_of, grad_of : function (theta, env), or (theta, env, scale)
    envs : list
        Of whatever `risk_of` takes.
    rng : numpy.random.Generator, optional
        Rounds all that is known of the risk coarsely, to show how rounding grows.
    """

    layout: Layout
    risk_of: Any
    grad_of: Any
    envs: list
    rng: Any = None

    def rounded(self, a):
        """Return an array, coarsely rounded at random if that is asked for."""
        a = np.asarray(a, np.float64)
        return a if self.rng is None else a * (1 + COARSE * self.rng.uniform(-1, 1, a.shape))

    def risk(self, theta, e, *scale):
        """Return R^e, with the logits times `scale` if that is given."""
        answer = self.risk_of(self.layout.tree(theta), self.envs[e], *scale)
        value = replies.number(answer, "risk")
        if value.shape:
            raise replies.UnusableError(f"risk is {replies.kind(value)}; it has to be one number")
        return float(value)

    def grad(self, theta, e, *scale):
        """Return grad R^e as a vector."""
        answer = self.grad_of(self.layout.tree(theta), self.envs[e], *scale)
        return self.layout.vector(answer, "grad")

    def risks(self, theta):
        """Return all risks, and a matrix whose rows are their gradients."""
        n = range(len(self.envs))
        return tuple(self.rounded([f(theta, e) for e in n]) for f in (self.risk, self.grad))

    def hessian_times(self, theta, e, v, h):
        """Return H v, the difference of gradients on both sides of theta, h times its size away."""
        size = np.linalg.norm(v)
        if size == 0:
            return np.zeros_like(v)
        step = h * (1 + np.linalg.norm(theta)) / size
        ahead, behind = self.grad(theta + step * v, e), self.grad(theta - step * v, e)
        return self.rounded((ahead - behind) / (2 * step))


# ---- objectives ----------------------------------------------------------------------------------


def erm(model, theta):
    """Return sum_e R^e (Eq. 1)."""
    R, G = model.risks(theta)
    return lambda h: np.r_[R.sum(), G.sum(axis=0)]


def v_rex(model, theta, penalty_weight):
    """Return sum_e R^e + penalty_weight Var_e R^e."""
    R, G = model.risks(theta)
    weights = 1 + penalty_weight * 2 * (R - R.mean()) / len(R)
    return lambda h: np.r_[R.sum() + penalty_weight * R.var(), weights @ G]


def irmv1(model, theta, penalty_weight):
    """Return sum_e R^e + penalty_weight sum_e (d/dw R^e(w f) at w = 1)^2 (Eq. 2)."""
    R, G = model.risks(theta)

    def at(h):
        n = range(len(R))
        slopes, gradients = (
            model.rounded([(f(theta, e, 1 + h) - f(theta, e, 1 - h)) / (2 * h) for e in n])
            for f in (model.risk, model.grad)
        )
        value = R.sum() + penalty_weight * (slopes**2).sum()
        return np.r_[value, G.sum(axis=0) + penalty_weight * 2 * slopes @ gradients]

    return at


def meta_irm(
    model, theta, inner_lr, std_weight, inner_steps=1, *, l2=0.0,
    first_order=False, same_env=False, ddof=0,
):  # fmt: skip
    """Return the braces of Eq. 6, and l2 ||theta||^2; the last three options are mistakes."""
    n = range(len(model.envs))
    paths = []  # [theta, ..., theta'_i]
    for i in n:
        path = [theta]
        for _ in range(inner_steps):
            path.append(path[-1] - inner_lr * model.rounded(model.grad(path[-1], i)))  # Eq. 3
        paths.append(path)
    pairs = spec.all_pairs(len(model.envs), same_env)
    L = model.rounded([model.risk(paths[i][-1], j) for i, j in pairs])  # Eq. 4
    from_mean = (L - L[0]) - (L - L[0]).mean()
    sigma = np.sqrt((from_mean**2).sum() / (len(L) - ddof))  # Eq. 5
    weights = 1 + std_weight * (from_mean / ((len(L) - ddof) * sigma) if sigma else 0 * L)
    outer = np.zeros((len(model.envs), len(theta)))
    for (i, j), w in zip(pairs, weights):
        outer[i] += w * model.rounded(model.grad(paths[i][-1], j))
    value = L.sum() + std_weight * sigma + l2 * theta @ theta

    def at(h):
        gradient = 2 * l2 * theta
        for i, v in enumerate(outer):
            for point in [] if first_order else paths[i][-2::-1]:  # back through the inner steps
                v = v - inner_lr * model.hessian_times(point, i, v, h)
            gradient = gradient + v
        return np.r_[value, gradient]

    return at


def slopes(model, theta, directions):
    """Return the derivatives of all R^e along the first direction, along the second, ..."""
    steps = [(1 + np.linalg.norm(theta)) / np.linalg.norm(d) for d in directions]

    def at(h):
        return np.array([
            (model.risk(theta + h * s * d, e) - model.risk(theta - h * s * d, e)) / (2 * h * s)
            for s, d in zip(steps, directions)
            for e in range(len(model.envs))
        ])  # fmt: skip

    return at


# ---- the limit -----------------------------------------------------------------------------------


def extrapolated(at):
    """Return the limit of at(h), h -> 0, how far off it is, and from which pair of steps.

    at(h) = limit + c h^2 + O(h^4), so that (16 at(h / 4) - at(h)) / 15 is off by O(h^4), besides
    rounding, which is divided by h. The error is measured: what the next pair of steps changes. The
    pair where that is least is taken; a kink within reach of a step shows as a large change.
    """
    known = [at(h) for h in STEPS]
    limits = [(16 * fine - coarse) / 15 for coarse, fine in zip(known[:-1], known[1:])]
    changes = [np.abs(b - a).max() for a, b in zip(limits[:-1], limits[1:])]
    k = int(np.argmin(np.nan_to_num(changes, nan=np.inf)))
    return limits[k + 1], changes[k], k
