"""Bugs in ERM, IRMv1, V-REx and MM-REx."""

import autograd.numpy as np
from autograd import grad
from autograd.tracer import getval

from bug_zoo.correct import Correct


class MeanOverEnvironments(Correct):
    """The environments' terms are stacked and .mean() taken, as the published IRM code does."""

    bug = "mean over environments"

    def total(self, values):
        return np.mean(values)


class PenaltyNotSquared(Correct):
    """The penalty is the norm of the gradient, the square forgotten."""

    bug = "IRMv1 penalty not squared"

    def penalty(self, f, y):
        return np.abs(self.slope(f, y))


class PenaltyPerSample(Correct):
    """The square is taken before the mean over the samples."""

    bug = "IRMv1 penalty per sample"

    def penalty(self, f, y):
        slopes = grad(lambda w: np.sum(self.losses(w[:, None] * f, y)))(np.ones(len(y)))
        return np.mean(slopes**2)


class PenaltyFromHalves(Correct):
    """The unbiased estimate for minibatches, the product of two halves' derivatives, on the full data."""

    bug = "IRMv1 penalty from two half-batches"

    def penalty(self, f, y):
        return self.slope(f[0::2], y[0::2]) * self.slope(f[1::2], y[1::2])


class PenaltyOverVector(Correct):
    """The dummy classifier has one weight per output."""

    bug = "IRMv1 penalty over a vector scale"

    def penalty(self, f, y):
        return np.sum(grad(lambda w: self.mean_loss(w * f, y))(np.ones(f.shape[1])) ** 2)


class PenaltyWithoutGradient(Correct):
    """The derivative by w is taken outside the graph."""

    bug = "IRMv1 penalty without gradient"

    def penalty(self, f, y):
        return getval(super().penalty(f, y))


class DividedByPenaltyWeight(Correct):
    """The rescaling that keeps gradients in range when the penalty weight jumps to 10^4, as the published IRM code does."""

    bug = "IRMv1 objective divided by the penalty weight"

    def irmv1(self, params, envs, penalty_weight):
        return super().irmv1(params, envs, penalty_weight) / max(penalty_weight, 1.0)


class SummedSquaredDifferences(Correct):
    """The variance is written as the squared differences of all pairs, and their number left in."""

    bug = "V-REx with summed squared differences"

    def variance(self, R):
        return sum((R[e] - R[f]) ** 2 for f in range(len(R)) for e in range(f))


class SampleVariance(Correct):
    """The library's variance divides by E - 1 by default."""

    bug = "V-REx with sample variance"

    def variance(self, R):
        return np.sum((R - np.mean(R)) ** 2) / (len(R) - 1)


class StandardDeviation(Correct):
    """The penalty is taken over from meta-IRM, which has the standard deviation."""

    bug = "V-REx with standard deviation"

    def variance(self, R):
        return self.sigma(R)


class AbsoluteDifference(Correct):
    """The form for two environments is remembered as a spread instead of a maximum."""

    bug = "MM-REx with absolute difference"

    def mm_rex(self, params, envs, lambda_min):
        R = self.risks(params, envs)
        return (1 - len(R) * lambda_min) * (np.max(R) - np.min(R)) + lambda_min * np.sum(R)


class WeightsWithoutE(Correct):
    """The weights of maximum and sum are made to add up to 1."""

    bug = "MM-REx weights without E"

    def mm_rex(self, params, envs, lambda_min):
        R = self.risks(params, envs)
        return (1 - lambda_min) * np.max(R) + lambda_min * np.sum(R)
