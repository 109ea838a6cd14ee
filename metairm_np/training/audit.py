"""The audit: the gradient in use against autograd's on `metairm_np.spec`, in that very run.

docs/choices.md says why a difference above the limit is not always an error.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metairm_np import spec
from metairm_np._autodiff import tree_map
from metairm_np.mlp import init_mlp
from metairm_np.training.state import generator

SAMPLES = 512  # of each environment
LIMITS = {"float64": 1e-8, "float32": 1e-3}
NEAR_0 = 1e-12  # of a gradient's largest entry at other parameters: float64's own rounding
TIE = 2**7  # units of rounding, of the largest risk


class Audit(NamedTuple):
    """What an engine's gradients were found to be off from autograd's in float64.

    Parameters
    ----------
    rng : dict
        The stream that draws the samples to compare on, see `metairm_np.training.state.stream`.
    checks, repeated : int
        Comparisons made, and how many of them took a second subset.
    largest : float
        The largest difference found: of an entry of the gradient, relative to the gradient's
        largest entry.
    limit : float
        What is allowed for the dtype of the parameters: 1e-8 in float64, 1e-3 in float32; None
        before the first check.
    rounding : int
        In how many comparisons rounding alone explained a larger difference, see `is_rounding`.
    largest_rounding : float
        The largest of those differences, which do not count in `largest`.
    """

    rng: dict
    checks: int = 0
    repeated: int = 0
    largest: float = 0.0
    limit: float | None = None
    rounding: int = 0
    largest_rounding: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether every difference found so far is within the limit, or rounding."""
        return self.limit is None or self.largest <= self.limit

    def compare(self, engine, name, params, envs, **hyper) -> Audit:
        """Return the audit after comparing once more, on a fresh random subset of the samples.

        A difference above the limit is measured again on other samples, and the smaller counts: in
        float32, a hidden unit that is within rounding of 0 for one sample may be on in one gradient
        and off in the other, which is no error; an error stays. What stays may be rounding still.

        Parameters
        ----------
        engine : object with `value_and_grad`
        name, params, envs, **hyper
            As for `metairm_np.spec.value_and_grad`.

        Returns
        -------
        Audit
        """
        rng, limit = generator(self.rng), LIMITS[str(params[0][0].dtype)]
        orders = [rng.permutation(len(env)) for env in envs]
        few = [env.take(order[:SAMPLES]) for env, order in zip(envs, orders)]
        found = difference(engine, name, params, few, **hyper)
        again = not found <= limit
        rounding, largest_rounding = self.rounding, self.largest_rounding
        if again:  # none of the first samples, if there are enough
            others = [env.take(order[-SAMPLES:]) for env, order in zip(envs, orders)]
            found = np.fmin(found, difference(engine, name, params, others, **hyper))
            if limit < found < np.inf and any(
                is_rounding(engine, name, params, some, **hyper) for some in (few, others)
            ):
                rounding, largest_rounding = rounding + 1, max(largest_rounding, float(found))
                found = 0.0
        return Audit(
            rng.bit_generator.state,
            self.checks + 1,
            self.repeated + again,
            float(np.maximum(self.largest, found)),  # NaN stays
            limit,
            rounding,
            largest_rounding,
        )

    def summary(self) -> dict:
        """Return the findings as a dict fit for JSON."""
        return {key: value for key, value in self._asdict().items() if key != "rng"}


def flat(params):
    """Return a list of (W, b) as one vector of float64."""
    return np.concatenate([part.ravel() for pair in params for part in pair], dtype=np.float64)


def in_float64(params, envs):
    """Return parameters and environments in float64."""
    theta = tree_map(lambda part: part.astype(np.float64), params)
    return theta, [env.astype(np.float64) for env in envs]


def difference(engine, name, params, few, **hyper):
    """Return the largest difference between two gradients on a few samples, see `Audit`.

    NaN if autograd's gradient is not finite, infinity if only the engine's is not.
    """
    ours = flat(engine.value_and_grad(name, params, few, **hyper)[1])
    exact = flat(spec.value_and_grad(name, *in_float64(params, few), **hyper)[1])
    scale, largest = np.abs(exact).max(), np.abs(ours - exact).max()
    if np.isfinite(scale) and not np.isfinite(largest):
        return np.inf
    return largest / scale if scale > 0 else largest


# ---- a difference that is no error ---------------------------------------------------------------


def is_rounding(engine, name, params, few, **hyper):
    """Return whether rounding alone explains a difference above the limit.

    It does where the largest risks tie, if the gradient is right for some sharing of the tie; and
    where the gradient is near 0, if the same engine is right in float64, down to float64's own
    rounding, and right in the dtype in use at other parameters, where the gradient is not near 0.
    """
    dtype = str(params[0][0].dtype)
    off, scale = from_nearest(engine, name, params, few, **hyper)
    if off == np.inf:
        return False
    if off <= LIMITS[dtype] * scale:
        return True
    sizes = (len(params[0][0]), *(len(b) for _, b in params))
    scales_there = []
    for seed in range(2):  # two, since a hidden unit may be within rounding of 0 there as well
        elsewhere = init_mlp(sizes, seed, dtype, "fan_in")
        off, scale = from_nearest(engine, name, elsewhere, few, **hyper)
        scales_there += [scale] if off <= LIMITS[dtype] * scale else []
    off, scale = from_nearest(engine, name, *in_float64(params, few), **hyper)
    return any(off <= max(LIMITS["float64"] * scale, NEAR_0 * there) for there in scales_there)


def from_nearest(engine, name, params, few, **hyper):
    """Return how far an engine's gradient is from the nearest right one, and the largest entry.

    The difference is infinite if any gradient is not finite.
    """
    ours = flat(engine.value_and_grad(name, params, few, **hyper)[1])
    right = right_gradients(name, *in_float64(params, few), params[0][0].dtype, **hyper)
    if not (np.isfinite(ours).all() and np.isfinite(right).all()):
        return np.inf, 1.0
    return np.abs(ours - nearest(ours, right)).max(), np.abs(right).max()


def right_gradients(name, theta, envs, dtype, *, l2=0.0, **hyper):
    """Return autograd's gradient in float64, (1, p); (T, p) for MM-REx with T risks that tie.

    Each of the T takes another of the environments whose risks are the largest within the rounding
    of `dtype`; any convex combination of them is right.
    """
    R = spec.risks(theta, envs)
    tied = R >= R.max() - TIE * np.finfo(dtype).eps * R.max()
    if name != "mm_rex" or tied.sum() == 1:
        return flat(spec.value_and_grad(name, theta, envs, l2=l2, **hyper)[1])[None]
    each = np.array([flat(spec.value_and_grad("erm", theta, [env])[1]) for env in envs])
    low = hyper["lambda_min"]
    return low * each.sum(axis=0) + 2 * l2 * flat(theta) + (1 - len(envs) * low) * each[tied]


def nearest(point, corners):
    """Return the convex combination of `corners`, (T, p), that is nearest to `point`, (p,)."""
    if len(corners) == 1:
        return corners[0]
    from scipy.optimize import nnls  # here, for importing it takes a while and ties are rare

    scale = max(np.abs(corners).max(), np.finfo(float).tiny)
    # the last equation is that the weights add up to 1
    equations = np.vstack([corners.T / scale, np.ones(len(corners))])
    weights, _ = nnls(equations, np.append(point / scale, 1.0))
    return weights @ corners / weights.sum() if weights.any() else corners[0]
