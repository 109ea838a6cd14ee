"""Known mistakes of DropGrad, the multipliers of the inner gradients."""

import autograd.numpy as np

from metairm_np._autodiff import tree_map
from metairm_np.conformance.mistakes.catalogue import mistake, wrap
from metairm_np.conformance.mistakes.edits import inner_gradient, inner_steps, moved


@mistake(
    "noise ignored",
    "the DropGrad multipliers are not used",
    "multiply the gradient of each inner step by its multipliers",
)
def ignore_noise(s):
    """Take the inner steps without noise."""
    wrap(s, "inner_loop", lambda right, *args, gradient_noise=None, **given: right(*args, **given))


@mistake(
    "noise not applied in the backward pass",
    "the noise is added to the value of the inner gradient after its graph is built, so that the "
    "way back takes v - alpha H v",
    "multiply inside the graph: the way back is v - alpha H (m v)",
)
def _(s):
    inner_gradient(s, lambda g, m: s.stop_gradient(m * g - g) + g)


@mistake(
    "noise on the way back only",
    "the inner steps are taken without noise, and their derivative is multiplied by it",
    "multiply the inner gradient once, inside the graph",
)
def _(s):
    inner_gradient(s, lambda g, m: m * g + s.stop_gradient(g - m * g))


@mistake(
    "noise on the outer gradient",
    "the multipliers are applied to the meta-gradient instead of the inner gradients",
    "multiply the inner gradients, inside the graph",
    variants=((0, 0), (-1, -1), (0, -1), (-1, 0)),
)
def _(s, which):
    def wrong(right, name, params, envs, gradient_noise=None, **hyper):
        value, gradient = right(name, params, envs, **hyper)
        i, t = which
        return value, gradient if gradient_noise is None else tree_map(
            lambda m, g: m * g, gradient_noise[i][t], gradient
        )

    ignore_noise(s)
    wrap(s, "value_and_grad", wrong)


def multipliers(s, change):
    """Replace the multipliers of each inner step by change(m), m the list of (mW, mb)."""

    def wrong(right, *args, gradient_noise=None, **given):
        noise = gradient_noise and [change(m) for m in gradient_noise]
        return right(*args, gradient_noise=noise, **given)

    wrap(s, "inner_loop", wrong)


@mistake(
    "noise on the weights only",
    "the biases' gradients are not multiplied",
    "multiply the gradient of every parameter",
)
def _(s):
    multipliers(s, lambda m: [(mW, np.ones_like(mb)) for mW, mb in m])


@mistake(
    "noise less one",
    "the multipliers are of mean 0, N(0, p) in place of N(1, p)",
    "multiply the gradient by noise of mean 1",
)
def _(s):
    multipliers(s, lambda m: tree_map(lambda part: part - 1, m))


@mistake(
    "noise squared",
    "the multipliers are applied twice, where the gradient is computed and where it is used",
    "multiply the gradient once",
)
def _(s):
    multipliers(s, lambda m: tree_map(lambda part: part**2, m))


@mistake(
    "noise averaged over each array",
    "each array of parameters has one multiplier, the mean of its own",
    "multiply entry by entry",
)
def _(s):
    multipliers(s, lambda m: tree_map(lambda part: np.mean(part) * np.ones_like(part), m))


@mistake(
    "noise normalised to mean one",
    "each array of multipliers is divided by its mean",
    "use the multipliers as they are given",
)
def _(s):
    multipliers(s, lambda m: tree_map(lambda part: part / np.mean(part), m))


@mistake(
    "first step's noise for all steps",
    "each inner step of an environment uses the multipliers of its first one",
    "use gradient_noise[i][t] in step t",
)
def _(s):
    def wrong(right, *args, gradient_noise=None, **given):
        noise = gradient_noise and [gradient_noise[0]] * len(gradient_noise)
        return right(*args, gradient_noise=noise, **given)

    wrap(s, "inner_loop", wrong)


@mistake(
    "one environment's noise for all",
    "each environment uses the multipliers of the first one, or of the last",
    "use gradient_noise[i] for environment i",
    variants=(0, -1),
)
def _(s, which):
    def wrong(right, *args, gradient_noise=None, **given):
        noise = gradient_noise and [gradient_noise[which]] * len(gradient_noise)
        return right(*args, gradient_noise=noise, **given)

    wrap(s, "meta_losses", wrong)


@mistake(
    "noise added",
    "the noise is added to the inner gradient, as it is or less its mean of 1",
    "multiply the inner gradient by it",
    variants=(0.0, 1.0),
)
def _(s, mean):
    def wrong(right, *args, gradient_noise=None, **given):
        if gradient_noise is None:
            return right(*args, **given)
        return noisy(*args, gradient_noise=gradient_noise, **given)

    copy_right = s.inner_loop
    inner_gradient(s, lambda g, m: g + m - mean)
    noisy, s.inner_loop = s.inner_loop, copy_right
    wrap(s, "inner_loop", wrong)


@mistake(
    "noise on the whole step",
    "the multipliers apply to the parameters after the step, m (theta - alpha g)",
    "multiply the gradient alone",
)
def _(s):
    inner_steps(s, lambda k: tree_map(np.multiply, k.m, moved(k, k.g)))
