"""Bugs in the optimizers of `train_steps`."""

import numpy as np

from bug_zoo.correct import Correct


class NoBiasCorrection(Correct):
    """The moments start at 0 and are used as they are."""

    bug = "Adam without bias correction"

    def adam(self, p, g, m, v, t, lr=0.001, beta1=0.9, beta2=0.999, epsilon=1e-8):
        _, m, v = super().adam(p, g, m, v, t, lr, beta1, beta2, epsilon)
        return p - lr * m / (np.sqrt(v) + epsilon), m, v


class EpsilonInRoot(Correct):
    """Epsilon is added before the root, as some frameworks' options have it."""

    bug = "Adam's epsilon inside the root"

    def adam(self, p, g, m, v, t, lr=0.001, beta1=0.9, beta2=0.999, epsilon=1e-8):
        _, m, v = super().adam(p, g, m, v, t, lr, beta1, beta2, epsilon)
        return p - lr * m / (1 - beta1**t) / np.sqrt(v / (1 - beta2**t) + epsilon), m, v


class DecoupledDecay(Correct):
    """The l2 term is passed on as the weight decay of AdamW."""

    bug = "weight decay decoupled"

    def sgd(self, p, *args, lr, decay, **settings):
        return super().sgd(p * (1 - lr * decay), *args, lr=lr, **settings)

    def adam(self, p, *args, lr=0.001, decay, **settings):
        return super().adam(p * (1 - lr * decay), *args, lr=lr, **settings)

    def train_steps(self, name, params, envs, optimizer, steps, l2=0.0, **hyper):
        return super().train_steps(
            name, params, envs, {**optimizer, "decay": 2 * l2}, steps, **hyper
        )


class DampenedMomentum(Correct):
    """Momentum is written as a running mean of the gradients, as in Adam."""

    bug = "momentum dampened"

    def sgd(self, p, g, m, v, t, lr, momentum=0.0):
        return super().sgd(p, (1 - momentum) * g, m, v, t, lr, momentum)


class NesterovMomentum(Correct):
    """The framework's option nesterov=True is switched on."""

    bug = "Nesterov momentum"

    def sgd(self, p, g, m, v, t, lr, momentum=0.0):
        _, m, v = super().sgd(p, g, m, v, t, lr, momentum)
        return p - lr * (g + momentum * m), m, v
