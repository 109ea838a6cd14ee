"""Bugs in meta-IRM."""

import autograd.numpy as np
from autograd.extend import defvjp, primitive
from autograd.tracer import getval
from numpy.random import default_rng

from bug_zoo.correct import Correct, each

# ---- what is differentiated ----------------------------------------------------------------------


class FirstOrderLeak(Correct):
    """The inner gradient passes through .detach() or stop_gradient."""

    bug = "first-order leak"

    def inner_gradient(self, params, env, inner_l2):
        return each(getval, super().inner_gradient(params, env, inner_l2))


class FirstOrderLeakInOne(Correct):
    """The first environment is adapted ahead of the loop, by code that keeps no graph."""

    bug = "first-order leak in one environment"

    def adapted_all(self, params, envs, which, noise, *args, **options):
        first = super().adapted_all(
            params, envs, which[:1], noise, *args, **{**options, "first_order": True}
        )
        return first | super().adapted_all(params, envs, which[1:], noise, *args, **options)


class OnlyLastStep(Correct):
    """To save memory the earlier inner steps keep no graph."""

    bug = "only the last inner step differentiated"

    def adapt(self, params, env, inner_lr, inner_steps=1, *, gradient_noise=None, **options):
        last = gradient_noise and gradient_noise[inner_steps - 1 :]
        params = super().adapt(
            params,
            env,
            inner_lr,
            inner_steps - 1,
            gradient_noise=gradient_noise,
            **{**options, "first_order": True},
        )
        return super().adapt(params, env, inner_lr, gradient_noise=last, **options)


# ---- the two loops -------------------------------------------------------------------------------


class SameEnvironment(Correct):
    """Both loops run over the same minibatch of each environment, as in MAML with one batch per task."""

    bug = "same environment in both loops"

    def choose_pairs(self, n_envs, same_env, pairs):
        return super().choose_pairs(n_envs, True, pairs)


class LastUpdateForAll(Correct):
    """Every theta'_i is the same buffer, or a closure over the loop's variable."""

    bug = "last environment's update used for all"

    def adapted_all(self, *args, **options):
        adapted = super().adapted_all(*args, **options)
        *_, last = adapted.values()
        return dict.fromkeys(adapted, last)


class UpdatesAccumulate(Correct):
    """The loop over environments assigns theta' to theta and goes on from there."""

    bug = "updates accumulate over environments"

    def adapted_all(self, params, envs, which, noise, *args, **options):
        adapted = {}
        for i in which:
            adapted |= super().adapted_all(params, envs, [i], noise, *args, **options)
            params = adapted[i]
        return adapted


# ---- the objective -------------------------------------------------------------------------------


class MeanOverPairs(Correct):
    """The meta-losses are stacked and .mean() taken."""

    bug = "mean over pairs"

    def combine(self, L, std_weight):
        return np.mean(L) + std_weight * self.sigma(L)


class SampleStandardDeviation(Correct):
    """The library's standard deviation divides by n - 1 by default."""

    bug = "sample standard deviation"

    def sigma(self, L):
        return super().sigma(L) * (len(L) / (len(L) - 1) if len(L) > 1 else np.nan) ** 0.5


class VarianceForSigma(Correct):
    """The penalty is taken over from V-REx, or the root is forgotten."""

    bug = "variance for standard deviation"

    def sigma(self, L):
        return self.variance(L)


class SigmaWithoutGradient(Correct):
    """Sigma is computed from the losses' .item(), which are kept for the log."""

    bug = "sigma without gradient"

    def sigma(self, L):
        return getval(super().sigma(L))


class SigmaOverRisks(Correct):
    """Sigma is taken of the list of risks that the inner loop has computed on its way."""

    bug = "sigma over risks"

    def meta_irm(self, params, envs, inner_lr, std_weight, **options):
        L = self.meta_losses(params, envs, inner_lr, **options)
        return np.sum(L) + std_weight * self.sigma(self.risks(params, envs))


class LambdaTwice(Correct):
    """Sigma comes from a function that applies lambda already."""

    bug = "lambda applied twice"

    def combine(self, L, std_weight):
        return super().combine(L, std_weight * std_weight)


class NanAtSigmaZero(Correct):
    """Equal losses put the root of the variance at 0, where its derivative is infinite."""

    bug = "NaN gradient at sigma = 0"

    def sigma(self, L):
        return np.sqrt(self.variance(L))

    def value_and_grad(self, *args, **hyper):
        with np.errstate(all="ignore"):  # most frameworks do not warn
            return super().value_and_grad(*args, **hyper)


# ---- the outer gradient --------------------------------------------------------------------------


class OuterGradientAtAdapted(Correct):
    """FOMAML with one model: theta' is loaded into it, and the loss and the l2 term are those of the model in hand."""

    bug = "outer gradient at theta'"

    def adapted_all(self, *args, **options):
        adapted = super().adapted_all(
            *args, **{**options, "first_order": True}
        )  # so d theta' / d theta = 1
        *_, self.in_hand = adapted.values()
        return adapted

    def objective(self, name, params, envs, l2=0.0, **hyper):
        self.in_hand = params
        return super().objective(name, params, envs, **hyper) + l2 * self.squared_norm(self.in_hand)


@primitive
def flip(x):
    """Return `x`, with the derivative -1."""
    return x


defvjp(flip, lambda ans, x: lambda g: -g)


class HessianSign(Correct):
    """A hand-written Hessian-vector product takes its difference of gradients the wrong way round."""

    bug = "Hessian-vector product with the wrong sign"

    def hessian_vector_product(self, *args):
        return each(np.negative, super().hessian_vector_product(*args))

    def inner_gradient(self, *args):
        return each(flip, super().inner_gradient(*args))


# ---- the inner steps -----------------------------------------------------------------------------


class InnerRateTwice(Correct):
    """The inner optimizer scales by the learning rate, and its caller does, too."""

    bug = "inner learning rate applied twice"

    def move(self, params, gradient, inner_lr):
        return super().move(params, gradient, inner_lr * inner_lr)


class OneStepMore(Correct):
    """A first step is taken before the loop of `inner_steps`; it shares a mask with the step next to it."""

    bug = "inner steps off by one"

    def adapt(self, params, env, inner_lr, inner_steps=1, *, gradient_noise=None, **options):
        noise = gradient_noise and [*gradient_noise[:inner_steps], gradient_noise[inner_steps - 1]]
        return super().adapt(
            params, env, inner_lr, inner_steps + 1, gradient_noise=noise, **options
        )


class NoiseOnOuterGradient(Correct):
    """DropGrad hangs on the meta-optimizer's gradient."""

    bug = "noise on the outer gradient"

    def drop(self, noise, gradient):
        return gradient

    def value_and_grad(self, name, params, envs, **hyper):
        value, gradient = super().value_and_grad(name, params, envs, **hyper)
        noise = hyper.get("gradient_noise")
        return value, each(np.multiply, noise[0][0], gradient) if noise else gradient


@primitive
def multiply(m, g, backward):
    """Return m g, with the derivative backward(m) by g."""
    return m * g


defvjp(multiply, lambda ans, m, g, backward: lambda v: backward(m) * v, argnums=(1,))


class NoiseResampled(Correct):
    """Recomputing the forward pass to save memory (checkpointing) draws the multipliers afresh."""

    bug = "noise resampled in the backward pass"
    rng = default_rng(0)

    def fresh(self, m):
        return self.rng.normal(1, 0.5, m.shape).astype(m.dtype)

    def drop(self, noise, gradient):
        return each(lambda m, g: multiply(m, g, self.fresh), noise, gradient)


class NoiseNotInBackward(Correct):
    """The multipliers are written into the gradient's data, past the graph."""

    bug = "noise not applied in the backward pass"

    def drop(self, noise, gradient):
        return each(lambda m, g: multiply(m, g, np.ones_like), noise, gradient)


class NoiseIgnored(Correct):
    """The keyword is accepted and not passed on."""

    bug = "noise ignored"

    def drop(self, noise, gradient):
        return gradient


class L2InInnerStep(Correct):
    """The regularised loss serves in both loops."""

    bug = "l2 inside the inner step"

    def objective(self, name, params, envs, l2=0.0, **hyper):
        if name == "meta_irm":
            hyper["inner_l2"] = hyper.get("inner_l2", 0.0) + l2
        return super().objective(name, params, envs, l2=l2, **hyper)


class BiasesNotAdapted(Correct):
    """The inner step runs over the weight matrices only."""

    bug = "biases not adapted"

    def move(self, params, gradient, inner_lr):
        moved = super().move(params, gradient, inner_lr)
        return [(W, b) for (W, _), (_, b) in zip(moved, params)]


# ---- the pairs -----------------------------------------------------------------------------------


class PairsSwapped(Correct):
    """A pair is read as (where evaluated, where adapted)."""

    bug = "pairs swapped"

    def choose_pairs(self, *args):
        return [(i, j) for j, i in super().choose_pairs(*args)]


class PairsIgnored(Correct):
    """The keyword is accepted and not passed on."""

    bug = "pairs ignored"

    def choose_pairs(self, n_envs, same_env, pairs):
        return super().choose_pairs(n_envs, same_env, None)
