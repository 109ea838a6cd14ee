"""The audit: the gradient in use against autograd's on `metairm_np.spec`, in that very run."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metairm_np import spec
from metairm_np._autodiff import tree_map
from metairm_np.training.state import generator

SAMPLES = 512  # of each environment
LIMITS = {"float64": 1e-8, "float32": 1e-3}


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
    """

    rng: dict
    checks: int = 0
    repeated: int = 0
    largest: float = 0.0
    limit: float | None = None

    @property
    def passed(self) -> bool:
        """Whether every difference found so far is within the limit."""
        return self.limit is None or self.largest <= self.limit

    def compare(self, engine, name, params, envs, **hyper) -> Audit:
        """Return the audit after comparing once more, on a fresh random subset of the samples.

        A difference above the limit is measured again on other samples, and the smaller counts: in
        float32, a hidden unit that is within rounding of 0 for one sample may be on in one gradient
        and off in the other, which is no error; an error stays.

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
        if again:  # none of the first samples, if there are enough
            others = [env.take(order[-SAMPLES:]) for env, order in zip(envs, orders)]
            found = np.fmin(found, difference(engine, name, params, others, **hyper))
        return Audit(
            rng.bit_generator.state,
            self.checks + 1,
            self.repeated + again,
            float(np.maximum(self.largest, found)),  # NaN stays
            limit,
        )

    def summary(self) -> dict:
        """Return the findings as a dict fit for JSON."""
        return {key: value for key, value in self._asdict().items() if key != "rng"}


def difference(engine, name, params, few, **hyper):
    """Return the largest difference between two gradients on a few samples, see `Audit`.

    NaN if autograd's gradient is not finite, infinity if only the engine's is not.
    """
    _, ours = engine.value_and_grad(name, params, few, **hyper)
    theta = tree_map(lambda part: part.astype(np.float64), params)
    _, exact = spec.value_and_grad(name, theta, [env.astype(np.float64) for env in few], **hyper)
    ours, exact = (
        np.concatenate([part.ravel() for pair in gradient for part in pair])
        for gradient in (ours, exact)
    )
    scale, largest = np.abs(exact).max(), np.abs(ours - exact).max()
    if np.isfinite(scale) and not np.isfinite(largest):
        return np.inf
    return largest / scale if scale > 0 else largest
