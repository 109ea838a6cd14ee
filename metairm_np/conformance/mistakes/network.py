"""Known mistakes of the network."""

import autograd.numpy as np

from metairm_np.conformance.mistakes.catalogue import mistake, wrap
from metairm_np.conformance.mistakes.edits import affine, perceptron

# ---- units ---------------------------------------------------------------------------------------


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
    "leaky ReLU",
    "units have the slope c below 0",
    "use max(0, a)",
    variants=(0.01, 0.2),
    number="c",
)
def _(s, c):
    perceptron(s, affine, lambda a: np.where(a > 0, a, c * a))


@mistake("tanh units", "the hidden units are tanh", "use max(0, a)")
def _(s):
    perceptron(s, affine, np.tanh)


@mistake("ELU units", "the hidden units are e^a - 1 below 0", "use max(0, a)")
def _(s):
    perceptron(s, affine, lambda a: np.where(a > 0, a, np.expm1(np.where(a > 0, 0.0, a))))


@mistake("sigmoid units", "the hidden units are 1 / (1 + e^-a)", "use max(0, a)")
def _(s):
    perceptron(s, affine, lambda a: 0.5 + 0.5 * np.tanh(a / 2))


@mistake(
    "no activation",
    "the hidden units are linear, as the activation was forgotten",
    "apply max(0, a) to every hidden layer",
)
def _(s):
    perceptron(s, affine, lambda a: a)


@mistake(
    "activation on the output",
    "the outputs pass through a ReLU, as every layer does in a plain loop",
    "leave the last layer linear",
)
def _(s):
    def wrong(right, params, x):
        f = right(params, x)
        return f * (f > 0)

    wrap(s, "logits", wrong)


# ---- layers --------------------------------------------------------------------------------------


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


@mistake("last bias left out", "the last layer has no bias", "add the bias of every layer")
def _(s):
    wrap(
        s,
        "logits",
        lambda right, params, x: right([*params[:-1], (params[-1][0], 0 * params[-1][1])], x),
    )


@mistake("hidden biases left out", "hidden layers have no biases", "add the bias of every layer")
def _(s):
    wrap(
        s,
        "logits",
        lambda right, params, x: right([(W, 0 * b) for W, b in params[:-1]] + [params[-1]], x),
    )


# ---- inputs --------------------------------------------------------------------------------------


@mistake(
    "inputs scaled",
    "x is multiplied by c on the way in, by 1 / 255 once more, say",
    "use x as it is given",
    variants=(1 / 255, 0.5),
    number="c",
)
def _(s, c):
    wrap(s, "logits", lambda right, params, x: right(params, c * x))


@mistake(
    "inputs centred",
    "the mean of the environment's samples is subtracted from x",
    "use x as it is given",
)
def _(s):
    wrap(s, "logits", lambda right, params, x: right(params, x - np.mean(x, axis=0)))
