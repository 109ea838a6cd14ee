"""Bugs in the network, its loss and the l2 term."""

import math

import autograd.numpy as np
from autograd.scipy.special import expit, logsumexp

from bug_zoo.correct import Correct, log_softmax


class LabelsInverted(Correct):
    """The data code counts "digit >= 5" as class 1, the model was written for "digit < 5"."""

    bug = "labels inverted"

    def binary_loss(self, z, y):
        return super().binary_loss(z, 1 - y)


class SoftmaxOverOneLogit(Correct):
    """A multi-class loss with one-hot labels is reused for the binary model, whose softmax is always 1."""

    bug = "softmax over a single logit"

    def binary_loss(self, z, y):
        return y * (logsumexp(z[:, None], axis=1) - z)


class SoftmaxTwice(Correct):
    """The network ends in a softmax, and the loss function takes logits."""

    bug = "softmax applied twice"

    def class_loss(self, f, y):
        return super().class_loss(np.exp(log_softmax(f)), y)


class RoundedProbabilities(Correct):
    """The loss is written from p = sigmoid(logit), and 1 - p is rounded before its logarithm is taken."""

    bug = "loss from rounded probabilities"

    def binary_loss(self, z, y):
        p = expit(z)
        return -np.log(np.maximum(np.where(y == 1, p, 1 - p), math.exp(-100)))


class SumOverSamples(Correct):
    """The loss is called with reduction="sum"."""

    bug = "sum over samples"

    def mean_loss(self, f, y):
        return np.sum(self.losses(f, y))


class NoCurvatureAtZero(Correct):
    """The stable formula has a kink in each of two terms; they cancel in the value, but autograd does not see it."""

    bug = "no curvature of the loss at logit 0"

    def binary_loss(self, z, y):
        z = np.where(y == 1, -z, z)
        return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


class ReluHalf(Correct):
    """The ReLU is np.maximum, whose derivative autograd shares between tied arguments."""

    bug = "ReLU derivative 1/2 at 0"

    def activation(self, a):
        return np.maximum(0, a)


class ReluOne(Correct):
    """The mask of the ReLU is >= where the framework's is >."""

    bug = "ReLU derivative 1 at 0"

    def activation(self, a):
        return a * (a >= 0)


class TransposedWeights(Correct):
    """The weights are stored as torch.nn.Linear stores them, (out, in), and read from files that hold (in, out)."""

    bug = "transposed weights"

    def affine(self, h, W, b):
        return h @ W.T + b


class BiasesOutOfL2(Correct):
    """Weight decay leaves out the biases, as many codes have it."""

    bug = "biases left out of l2"

    def squared_norm(self, params):
        return sum(np.sum(W**2) for W, b in params)


class L2Halved(Correct):
    """The norm carries the 1/2 that makes its derivative the weight decay."""

    bug = "l2 halved"

    def squared_norm(self, params):
        return 0.5 * super().squared_norm(params)


class L2NotInValue(Correct):
    """The l2 term is the optimizer's weight decay, so that the logged objective lacks it."""

    bug = "l2 missing from the value"

    def value_and_grad(self, name, params, envs, l2=0.0, **hyper):
        _, gradient = super().value_and_grad(name, params, envs, l2=l2, **hyper)
        return super().value_and_grad(name, params, envs, **hyper)[0], gradient
