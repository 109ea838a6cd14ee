"""The audit: the gradient in use against autograd's on `metairm_np.spec`, in the very run that uses it."""

import numpy as np

from metairm_np import spec
from metairm_np._autodiff import tree_map

SAMPLES = 512  # of each environment
LIMITS = {"float64": 1e-8, "float32": 1e-3}


class Audit:
    """Compares an engine's gradients with autograd's in float64, each time on a fresh random subset of the samples.

    A difference above the limit is measured again on other samples, and the smaller counts: in
    float32, a hidden unit that is within rounding of 0 for one sample may be on in one gradient and
    off in the other, which is no error; an error stays.

    Parameters
    ----------
    engine : module with `value_and_grad`
    seed : int or numpy.random.SeedSequence
        Draws the subsets.

    Attributes
    ----------
    checks, repeated : int
        Comparisons made, and how many of them took a second subset.
    largest : float
        The largest difference found: of an entry of the gradient, relative to the gradient's
        largest entry.
    limit : float
        What is allowed for the dtype of the parameters: 1e-8 in float64, 1e-3 in float32; None
        before the first check.
    """

    def __init__(self, engine, seed):
        self.engine, self.rng = engine, np.random.default_rng(seed)
        self.checks, self.repeated, self.largest, self.limit = 0, 0, 0.0, None

    def passes(self, name, params, envs, **hyper):
        """Compare the gradients of objective `name`, and tell whether the difference is within the limit."""
        self.limit = LIMITS[str(params[0][0].dtype)]
        shuffled = [(env, self.rng.permutation(len(env))) for env in envs]
        difference = self.difference(
            name, params, [env.take(order[:SAMPLES]) for env, order in shuffled], **hyper
        )
        if not difference <= self.limit:
            self.repeated += 1
            others = [
                env.take(order[-SAMPLES:]) for env, order in shuffled
            ]  # none of the first, if there are enough
            difference = np.fmin(difference, self.difference(name, params, others, **hyper))
        self.checks += 1
        self.largest = float(np.maximum(self.largest, difference))  # NaN stays
        return bool(difference <= self.limit)

    def difference(self, name, params, few, **hyper):
        """Return the largest difference between the two gradients on a few samples, relative to the largest entry.

        NaN if autograd's gradient is not finite, infinity if only the engine's is not.
        """
        _, ours = self.engine.value_and_grad(name, params, few, **hyper)
        theta = tree_map(lambda part: part.astype(np.float64), params)
        _, exact = spec.value_and_grad(
            name, theta, [env.astype(np.float64) for env in few], **hyper
        )
        ours, exact = (
            np.concatenate([part.ravel() for pair in gradient for part in pair])
            for gradient in (ours, exact)
        )
        scale, difference = np.abs(exact).max(), np.abs(ours - exact).max()
        if np.isfinite(scale) and not np.isfinite(difference):
            return np.inf
        return difference / scale if scale > 0 else difference

    def summary(self):
        """Return the findings as a dict fit for JSON."""
        return {
            "checks": self.checks,
            "repeated": self.repeated,
            "largest": self.largest,
            "limit": self.limit,
        }
