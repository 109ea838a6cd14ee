"""Known mistakes of the braces of Eq. 6: sigma, lambda and the sum."""

import autograd.numpy as np

from metairm_np.conformance.mistakes.catalogue import mistake, wrap
from metairm_np.conformance.mistakes.edits import braces, without

# ---- the sum -------------------------------------------------------------------------------------


@mistake(
    "mean over pairs",
    "the meta-losses are averaged",
    "sum them as Eq. 6 does, or scale lambda and the learning rate to suit",
)
def _(s):
    braces(s, lambda k: np.mean(k.L) + k.weight * s.sigma(k.L))


@mistake(
    "objective averaged over pairs",
    "the whole of the braces is divided by the number of pairs",
    "sum the meta-losses, and add lambda sigma",
)
def _(s):
    braces(s, lambda k: (np.sum(k.L) + k.weight * s.sigma(k.L)) / len(k.L))


@mistake(
    "objective averaged over environments",
    "the sum of the meta-losses, or the whole of the braces, is divided by E",
    "sum the meta-losses, and add lambda sigma",
    variants=("sum", "whole"),
)
def _(s, what):
    def combine(k):
        E = len(k.envs)
        return np.sum(k.L) / E + k.weight * s.sigma(k.L) / (E if what == "whole" else 1)

    braces(s, combine)


# ---- lambda --------------------------------------------------------------------------------------


def change_lambda(s, change):
    """Replace lambda by change(lambda, L)."""
    braces(s, lambda k: np.sum(k.L) + change(k.weight, k.L) * s.sigma(k.L))


@mistake(
    "lambda applied twice",
    "sigma is multiplied by lambda where it is computed and again in the sum, or added twice",
    "add lambda sigma once",
    variants=(lambda weight: weight**2, lambda weight: 2 * weight),
)
def _(s, change):
    change_lambda(s, lambda weight, L: change(weight))


@mistake(
    "lambda times the number of pairs",
    "lambda is scaled up as if it were meant for a mean of the meta-losses",
    "add lambda sigma to the sum of the meta-losses",
)
def _(s):
    change_lambda(s, lambda weight, L: weight * len(L))


@mistake(
    "sigma subtracted",
    "lambda sigma has the wrong sign",
    "add lambda sigma",
)
def _(s):
    change_lambda(s, lambda weight, L: -weight)


@mistake(
    "lambda scaled",
    "sigma is added with c lambda: c = 1/2, say, of a variance halved",
    "add lambda sigma",
    variants=(0.5,),
    number="c",
)
def _(s, c):
    change_lambda(s, lambda weight, L: c * weight)


@mistake(
    "std_weight ignored",
    "the meta-losses are summed without sigma",
    "add lambda sigma",
)
def _(s):
    without(s, "meta_irm", std_weight=0.0)


# ---- sigma ---------------------------------------------------------------------------------------


@mistake(
    "sigma over risks",
    "sigma is the standard deviation of the risks R^e(theta)",
    "take that of the meta-losses R_j(theta'_i) (Eq. 5)",
)
def _(s):
    braces(s, lambda k: np.sum(k.L) + k.weight * s.sigma(s.risks(k.params, k.envs)))


def groups(k):
    """Return the meta-losses of each theta'_i."""
    starts = [i for i, _ in k.pairs]
    return [
        np.array([k.L[p] for p in range(len(starts)) if starts[p] == i]) for i in sorted({*starts})
    ]


@mistake(
    "sigma within each i",
    "the standard deviation is taken over the meta-losses of each theta'_i, and these are averaged "
    "or summed",
    "take one standard deviation of all meta-losses",
    variants=(np.mean, np.sum),
)
def _(s, over):
    braces(s, lambda k: np.sum(k.L) + k.weight * over(np.array([s.sigma(L) for L in groups(k)])))


@mistake(
    "sigma over environments' means",
    "the standard deviation is that of the means, or sums, of the meta-losses of each theta'_i",
    "take that of all meta-losses",
    variants=(np.mean, np.sum),
)
def _(s, over):
    braces(s, lambda k: np.sum(k.L) + k.weight * s.sigma(np.array([over(L) for L in groups(k)])))


@mistake(
    "sample standard deviation",
    "sigma is divided by n - 1, the default of torch.std",
    "divide by n: (L - L[0]).std(unbiased=False) in torch, less the first since std of equal "
    "values may be rounded above 0",
)
def _(s):
    wrap(
        s,
        "sigma",
        lambda right, L: (
            right(L) * (len(L) / (len(L) - 1)) ** 0.5 if len(L) > 1 else np.nan * right(L)
        ),
    )


@mistake(
    "variance for standard deviation",
    "the root is missing",
    "add lambda times the standard deviation of the meta-losses",
)
def _(s):
    s.sigma = s.variance


@mistake(
    "epsilon under sigma's root",
    "sigma is sqrt(variance + epsilon), which keeps its derivative finite at 0",
    "take 0 as the derivative there, with a condition or a double where",
    variants=(1e-8,),
    number="epsilon",
)
def _(s, epsilon):
    s.sigma = lambda L: np.sqrt(s.variance(L) + epsilon)


@mistake(
    "range for sigma",
    "the spread is the largest meta-loss less the smallest",
    "use the standard deviation of the meta-losses",
)
def _(s):
    s.sigma = lambda L: np.max(L) - np.min(L)


@mistake(
    "sigma relative to the mean",
    "the standard deviation is divided by the mean of the meta-losses",
    "use the standard deviation itself",
)
def _(s):
    wrap(s, "sigma", lambda right, L: right(L) / np.mean(L))


@mistake(
    "sigma without gradient",
    "sigma is computed from detached values, or by plain NumPy (float(), item()): it shows in the "
    "value, but trains nothing",
    "keep sigma in the graph",
)
def _(s):
    wrap(s, "sigma", lambda right, L: s.stop_gradient(right(L)))


@mistake(
    "NaN gradient at sigma = 0",
    "the derivative of the root at 0 is infinite, times 0",
    "take 0 as the derivative there, with a condition or a double where (sqrt(var + eps) changes "
    "the value)",
)
def _(s):
    s.sigma = lambda L: np.sqrt(s.variance(L))
