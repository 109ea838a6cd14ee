"""Known mistakes of the risk, the network and the norm."""

import autograd.numpy as np

from metairm_np.conformance.mistakes.catalogue import mistake, wrap
from metairm_np.mlp import squared_norm

# ---- the risk ------------------------------------------------------------------------------------


def binary(s, wrong):
    """Replace the risk of two classes by `wrong`, which gets the original, f (n, 1) and y."""
    wrap(
        s,
        "cross_entropy",
        lambda right, f, y: wrong(right, f, y) if f.shape[1] == 1 else right(f, y),
    )


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
    "loss from rounded probabilities",
    "log(sigmoid(f)) and log(1 - sigmoid(f)) from probabilities rounded to 0 or 1, clamped or not",
    "compute the loss from the logits: log(1 + e^-z) by logaddexp or "
    "binary_cross_entropy_with_logits",
    variants=(-100.0, np.log(1e-7), np.log(1e-12), -np.inf),
)
def _(s, lowest):
    def log(p):
        return np.where(p > 0, np.maximum(np.log(np.where(p > 0, p, 1.0)), lowest), lowest)

    def wrong(right, f, y):
        p = 1 / (1 + np.exp(-f[:, 0]))
        return -np.mean(np.where(y == 1, log(p), log(1 - p)))

    binary(s, wrong)


@mistake(
    "sum over samples",
    "the losses of the samples are summed (reduction='sum')",
    "take the mean over the samples of each environment",
)
def _(s):
    wrap(s, "cross_entropy", lambda right, f, y: len(y) * right(f, y))


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


# ---- the network ---------------------------------------------------------------------------------


def perceptron(s, layer, relu):
    """Replace the network by one with its own layers and units."""

    def logits(params, x):
        for W, b in params[:-1]:
            x = relu(layer(x, W, b))
        return layer(x, *params[-1])

    s.logits = logits


def affine(x, W, b):
    """Return x W + b."""
    return np.dot(x, W) + b


@mistake(
    "ReLU derivative 1/2 at 0",
    "maximum(a, 0) under an automatic differentiation that splits ties, such as autograd's",
    "use a * (a > 0), or the framework's relu",
)
def _(s):
    perceptron(s, affine, lambda a: np.maximum(a, 0.0))


@mistake(
    "ReLU derivative 1 at 0",
    "the mask of the backward pass is a >= 0",
    "use a > 0, as PyTorch and JAX do",
)
def _(s):
    perceptron(s, affine, lambda a: a * (a >= 0))


@mistake(
    "transposed weights",
    "W is read, or its gradient given, as (out, in), the layout of torch.nn.Linear",
    "take and give W as (in, out): x @ W + b; copy with weight.T",
    variants=("read", "given"),
)
def _(s, where):
    if where == "read":
        perceptron(s, lambda x, W, b: np.dot(x, W.T) + b, lambda a: a * (a > 0))
        return

    def wrong(right, *args, **hyper):
        value, gradient = right(*args, **hyper)
        return value, [(dW.T, db) for dW, db in gradient]

    wrap(s, "value_and_grad", wrong)


# ---- the norm ------------------------------------------------------------------------------------


@mistake(
    "biases left out of l2",
    "the norm is that of the weights alone",
    "add the squares of the biases, too (or leave l2 at 0)",
)
def _(s):
    s.squared_norm = lambda params: sum(np.sum(W * W) for W, _ in params)


@mistake(
    "l2 halved",
    "l2 / 2 ||theta||^2, the convention in which the gradient is l2 theta, as an optimizer's "
    "weight_decay has it",
    "use l2 ||theta||^2 with the gradient 2 l2 theta, or hand the optimizer weight_decay = 2 l2",
    variants=("everywhere", "outside the inner steps"),
)
def _(s, where):
    if where == "everywhere":
        s.squared_norm = lambda params: squared_norm(params) / 2
    else:
        wrap(
            s,
            "value_and_grad",
            lambda right, *args, l2=0.0, **hyper: right(*args, l2=l2 / 2, **hyper),
        )


@mistake(
    "l2 missing from the value",
    "the norm's gradient is added, by weight decay in the optimizer say, but its value is not",
    "add l2 ||theta||^2 to the value, too",
)
def _(s):
    def wrong(right, name, params, envs, l2=0.0, **hyper):
        value, gradient = right(name, params, envs, l2=l2, **hyper)
        return value - l2 * float(squared_norm(params)), gradient

    wrap(s, "value_and_grad", wrong)
