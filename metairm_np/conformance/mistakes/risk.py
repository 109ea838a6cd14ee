"""Known mistakes of the risk."""

import autograd.numpy as np
from autograd.extend import defvjp, primitive

from metairm_np.conformance.mistakes.catalogue import mistake, wrap
from metairm_np.conformance.mistakes.edits import binary, log_probabilities, one_hot

# ---- another loss --------------------------------------------------------------------------------


@mistake(
    "labels inverted",
    "the loss takes label 1 where the data mean 0 (IRM's published code has label 1 for digits "
    "below 5)",
    "use y as it is given: the logit is large where y = 1",
)
def _(s):
    binary(s, lambda right, f, y: right(f, 1 - y))


@mistake(
    "softmax over a single logit",
    "softmax cross-entropy of a one-column output: the softmax of one number is 1, the loss is 0",
    "use the logistic loss for one output, such as binary_cross_entropy_with_logits",
)
def _(s):
    binary(s, lambda right, f, y: 0.0 * np.sum(f))


@mistake(
    "softmax applied twice",
    "probabilities are passed to a cross-entropy that applies log-softmax itself",
    "pass the logits, without softmax",
)
def _(s):
    def wrong(right, f, y):
        e = np.exp(f - np.max(f, axis=1, keepdims=True))
        return right(e / np.sum(e, axis=1, keepdims=True), y) if f.shape[1] > 1 else right(f, y)

    wrap(s, "cross_entropy", wrong)


@mistake(
    "label smoothing",
    "the loss is (1 - c) times the cross-entropy and c times its mean over all classes",
    "use the labels as they are (label_smoothing=0)",
    variants=(0.1,),
    number="c",
)
def _(s, c):
    def loss(f, y):
        log_p = log_probabilities(f)
        own = np.sum(one_hot(f, y) * log_p, axis=1)
        return -np.mean((1 - c) * own + c * np.mean(log_p, axis=1))

    s.cross_entropy = loss


@mistake(
    "focal loss",
    "each sample's loss is weighed by (1 - p)^g, p the probability of its label",
    "weigh all samples alike",
    variants=(2.0,),
    number="g",
)
def _(s, g):
    def loss(f, y):
        own = np.sum(one_hot(f, y) * log_probabilities(f), axis=1)
        return -np.mean((-np.expm1(own)) ** g * own)

    s.cross_entropy = loss


@mistake(
    "squared error",
    "the loss is the squared difference of probabilities, or outputs, and labels, summed or "
    "averaged over the outputs",
    "use the cross-entropy",
    variants=((True, np.sum), (True, np.mean), (False, np.sum), (False, np.mean)),
)
def _(s, variant):
    probabilities, over = variant

    def loss(f, y):
        target = y[:, None] if f.shape[1] == 1 else one_hot(f, y)
        answer = np.exp(log_probabilities(f))[:, -f.shape[1] :] if probabilities else f
        return np.mean(over((answer - target) ** 2, axis=1))

    s.cross_entropy = loss


# ---- the mean ------------------------------------------------------------------------------------


@mistake(
    "sum over samples",
    "the losses of the samples are summed (reduction='sum')",
    "take the mean over the samples of each environment",
)
def _(s):
    wrap(s, "cross_entropy", lambda right, f, y: len(y) * right(f, y))


@mistake(
    "loss scaled",
    "the risk is c times the mean cross-entropy: 1/2, say, or the base 2 of the logarithm",
    "take the mean of the natural logarithms",
    variants=(0.5,),
    number="c",
)
def _(s, c):
    wrap(s, "cross_entropy", lambda right, f, y: c * right(f, y))


@mistake(
    "class-weighted loss",
    "each sample is weighed by n / (C n_c), n_c the number of samples of its class: 'balanced'",
    "weigh all samples alike",
)
def _(s):
    def loss(f, y):
        own = one_hot(f, y)
        weights = len(y) / own.shape[1] / np.maximum(np.sum(own, axis=0), 1)
        return -np.mean(np.sum(weights * own * log_probabilities(f), axis=1))

    s.cross_entropy = loss


@mistake(
    "mean over samples and outputs",
    "the loss is averaged over the outputs, too, so that several classes have 1 / C of it",
    "sum over the outputs, average over the samples",
)
def _(s):
    wrap(s, "cross_entropy", lambda right, f, y: right(f, y) / f.shape[1])


@mistake(
    "risk divided by n - 1",
    "the sum of the losses is divided by n - 1",
    "divide it by n",
)
def _(s):
    def wrong(right, f, y):
        return right(f, y) * (len(y) / (len(y) - 1) if len(y) > 1 else np.nan)

    wrap(s, "cross_entropy", wrong)


@mistake(
    "(n, 1) against (n,)",
    "outputs of shape (n, 1) and labels of shape (n,) broadcast to (n, n): each output is compared "
    "with every label",
    "take the outputs as f[:, 0]",
)
def _(s):
    binary(
        s,
        lambda right, f, y: np.mean(np.logaddexp(0.0, f) - f * y[None, :]),
    )


# ---- its digits ----------------------------------------------------------------------------------


@mistake(
    "loss from rounded probabilities",
    "log(sigmoid(f)) and log(1 - sigmoid(f)) from probabilities rounded to 0 or 1, clamped or not",
    "compute the loss from the logits: log(1 + e^-z) by logaddexp or "
    "binary_cross_entropy_with_logits",
    variants=(-100.0, np.log(1e-7), np.log(1e-12), -np.inf, "BCELoss"),
)
def _(s, lowest):
    if lowest == "BCELoss":
        binary(s, lambda right, f, y: np.mean(bce(sigmoid(f[:, 0]), y)))
        return

    def log(p):
        return np.where(p > 0, np.maximum(np.log(np.where(p > 0, p, 1.0)), lowest), lowest)

    def wrong(right, f, y):
        p = 1 / (1 + np.exp(-f[:, 0]))
        return -np.mean(np.where(y == 1, log(p), log(1 - p)))

    binary(s, wrong)


EPSILON = 1e-12  # in the derivatives of PyTorch's BCELoss


@primitive
def sigmoid(f):
    """Return 1 / (1 + e^-f), whose derivative is p (1 - p) with p as rounded."""
    return 1 / (1 + np.exp(-f))


@primitive
def bce(p, y):
    """Return the losses of probabilities as PyTorch's BCELoss, logarithms cut at -100."""
    return -np.where(y == 1, *(np.maximum(np.log(q), -100.0) for q in (p, 1 - p)))


@primitive
def bce_slope(g, p, y):
    """Return g times the derivative of `bce` by p, as PyTorch computes it."""
    return g * (p - y) / np.maximum((1 - p) * p, EPSILON)


defvjp(sigmoid, lambda p, f: lambda g: g * p * (1 - p))
defvjp(bce, lambda loss, p, y: lambda g: bce_slope(g, p, y), argnums=(0,))
defvjp(  # epsilon is elsewhere in the second derivatives, so that they do not fit the first
    bce_slope,
    lambda slope, g, p, y: lambda h: h * (p - y) / ((p + EPSILON) * (1 - p + EPSILON)),
    lambda slope, g, p, y: (
        lambda h: h * g * (p * p - 2 * p * y + y) / ((p + EPSILON) * (1 - p + EPSILON)) ** 2
    ),
    argnums=(0, 1),
)


@mistake(
    "probabilities clipped",
    "probabilities are clipped to c ... 1 - c before the logarithm, as Keras does with c = 1e-7",
    "compute the loss from the logits, without clipping",
    variants=(1e-7, 1e-2),
    number="c",
)
def _(s, c):
    def loss(f, y):
        p = np.exp(np.sum(one_hot(f, y) * log_probabilities(f), axis=1))
        p = np.where(p < c, c, np.where(p > 1 - c, 1 - c, p))
        return -np.mean(np.log(p))

    s.cross_entropy = loss


@mistake(
    "logits clipped",
    "the outputs are cut at -c and c before the loss",
    "compute the loss from the logits, without clipping",
    variants=(10.0, 30.0, 1.0),
    number="c",
)
def _(s, c):
    wrap(
        s,
        "cross_entropy",
        lambda right, f, y: right(np.where(np.abs(f) > c, c * np.sign(f), f), y),
    )


@mistake(
    "no curvature of the loss at logit 0",
    "max(z, 0) + log(1 + e^-|z|) under automatic differentiation: |z| has derivative 0 at 0, the "
    "sum second derivative 0",
    "use logaddexp(0, z), or a softplus whose second derivative is e^z / (1 + e^z)^2 everywhere",
)
def _(s):
    def wrong(right, f, y):
        z = np.where(y == 1, -1.0, 1.0) * f[:, 0]
        return np.mean(np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))))

    binary(s, wrong)


@mistake(
    "softplus cut at a threshold",
    "log(1 + e^z) is taken as z above 20, the default of torch.nn.functional.softplus: 2e-9 is "
    "lost there",
    "use binary_cross_entropy_with_logits or logsigmoid, or a threshold of 40",
)
def _(s):
    def wrong(right, f, y):
        z = np.where(y == 1, -1.0, 1.0) * f[:, 0]
        return np.mean(np.where(z > 20, z, np.logaddexp(0.0, np.where(z > 20, 0.0, z))))

    binary(s, wrong)
