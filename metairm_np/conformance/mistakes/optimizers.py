"""Known mistakes of the optimizers and of training steps."""

import numpy as np

from metairm_np._autodiff import tree_map
from metairm_np.conformance.mistakes.catalogue import mistake
from metairm_np.optimizers import SGD, Adam


class UncorrectedAdam(Adam):
    """Adam without bias correction."""

    def step(self, params, gradient):
        """Return the next parameters."""
        super().step(params, gradient)
        return tree_map(
            lambda p, m, v: p - self.lr * m / (np.sqrt(v) + self.epsilon), params, self.m, self.v
        )


class EpsilonInsideAdam(Adam):
    """Adam with epsilon inside the root."""

    def step(self, params, gradient):
        """Return the next parameters."""
        super().step(params, gradient)
        a, b = 1 / (1 - self.beta1**self.t), 1 / (1 - self.beta2**self.t)
        return tree_map(
            lambda p, m, v: p - self.lr * a * m / np.sqrt(b * v + self.epsilon),
            params,
            self.m,
            self.v,
        )


class NesterovSGD(SGD):
    """SGD with Nesterov momentum."""

    def step(self, params, gradient):
        """Return the next parameters."""
        super().step(params, gradient)
        return tree_map(
            lambda p, v, g: p - self.lr * (self.momentum * v + g), params, self.velocity, gradient
        )


class DampenedSGD(SGD):
    """SGD whose new gradients weigh 1 - momentum, all of them or all but the first."""

    first_too = True

    def step(self, params, gradient):
        """Return the next parameters."""
        weight = 1.0 if self.velocity is None and not self.first_too else 1 - self.momentum
        return super().step(params, tree_map(lambda g: weight * g, gradient))


@mistake(
    "Adam without bias correction",
    "the moments are used as they are, without the factors 1 / (1 - beta^t)",
    "divide m by 1 - beta1^t and v by 1 - beta2^t (Kingma and Ba, 2015, Algorithm 1)",
)
def _(s):
    s.OPTIMIZERS["adam"] = UncorrectedAdam


@mistake(
    "Adam's epsilon inside the root",
    "m / sqrt(v + epsilon)",
    "use m / (sqrt(v) + epsilon)",
)
def _(s):
    s.OPTIMIZERS["adam"] = EpsilonInsideAdam


@mistake(
    "weight decay decoupled",
    "AdamW: the parameters shrink besides the step, so that the norm's gradient is not scaled by "
    "Adam or kept by momentum",
    "add l2 ||theta||^2 to the objective (torch.optim.Adam(weight_decay=2 * l2) is the same)",
    variants=(2.0, 1.0),
)
def _(s, factor):
    def steps(name, params, envs, optimizer, steps, l2=0.0, **hyper):
        shrink = 1 - factor * l2 * optimizer["lr"]
        rule = s.OPTIMIZERS[optimizer["name"]](
            **{key: value for key, value in optimizer.items() if key != "name"}
        )
        path = []
        for _ in range(steps):
            _, gradient = s.value_and_grad(name, params, envs, **hyper)
            params = rule.step(tree_map(lambda p: shrink * p, params), gradient)
            path.append(params)
        return path

    s.train_steps = steps


@mistake(
    "momentum dampened",
    "v <- momentum v + (1 - momentum) g, or dampening = momentum in torch.optim.SGD",
    "use v <- momentum v + g, the default of torch.optim.SGD",
    variants=(True, False),
)
def _(s, first_too):
    s.OPTIMIZERS["sgd"] = type("Dampened", (DampenedSGD,), {"first_too": first_too})


@mistake(
    "Nesterov momentum",
    "the step looks ahead: theta <- theta - lr (momentum v + g)",
    "use theta <- theta - lr v (nesterov=False)",
)
def _(s):
    s.OPTIMIZERS["sgd"] = NesterovSGD
