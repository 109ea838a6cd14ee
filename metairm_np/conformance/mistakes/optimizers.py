"""Known mistakes of the optimizers and of training steps."""

import numpy as np

from metairm_np._autodiff import tree_map
from metairm_np.conformance.mistakes.catalogue import mistake
from metairm_np.optimizers import SGD, Adam


class UncorrectedAdam(Adam):
    """Adam without bias correction."""

    def update(self, gradient, state, params):
        """Return the next parameters and state."""
        _, state = super().update(gradient, state, params)

        def moved(p, m, v):
            return p - self.lr * m / (np.sqrt(v) + self.epsilon)

        return tree_map(moved, params, state.m, state.v), state


class EpsilonInsideAdam(Adam):
    """Adam with epsilon inside the root."""

    def update(self, gradient, state, params):
        """Return the next parameters and state."""
        _, state = super().update(gradient, state, params)
        a, b = 1 / (1 - self.beta1**state.t), 1 / (1 - self.beta2**state.t)

        def moved(p, m, v):
            return p - self.lr * a * m / np.sqrt(b * v + self.epsilon)

        return tree_map(moved, params, state.m, state.v), state


class NesterovSGD(SGD):
    """SGD with Nesterov momentum."""

    def update(self, gradient, state, params):
        """Return the next parameters and state."""
        _, state = super().update(gradient, state, params)

        def moved(p, v, g):
            return p - self.lr * (self.momentum * v + g)

        return tree_map(moved, params, state.velocity, gradient), state


class DampenedSGD(SGD):
    """SGD whose new gradients weigh 1 - momentum."""

    def update(self, gradient, state, params):
        """Return the next parameters and state."""
        dampened = tree_map(lambda g: (1 - self.momentum) * g, gradient)
        return super().update(dampened, state, params)


class LateDampenedSGD(DampenedSGD):
    """SGD whose new gradients, all but the first, weigh 1 - momentum."""

    def init(self, params):
        """Return None, which stands for no step yet."""

    def update(self, gradient, state, params):
        """Return the next parameters and state."""
        if state is None:
            return SGD.update(self, gradient, SGD.init(self, params), params)
        return super().update(gradient, state, params)


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
        state, path = rule.init(params), []
        for _ in range(steps):
            _, gradient = s.value_and_grad(name, params, envs, **hyper)
            shrunk = tree_map(lambda p: shrink * p, params)
            params, state = rule.update(gradient, state, shrunk)
            path.append(params)
        return path

    s.train_steps = steps


@mistake(
    "momentum dampened",
    "v <- momentum v + (1 - momentum) g, or dampening = momentum in torch.optim.SGD",
    "use v <- momentum v + g, the default of torch.optim.SGD",
    variants=(DampenedSGD, LateDampenedSGD),
)
def _(s, dampened):
    s.OPTIMIZERS["sgd"] = dampened


@mistake(
    "Nesterov momentum",
    "the step looks ahead: theta <- theta - lr (momentum v + g)",
    "use theta <- theta - lr v (nesterov=False)",
)
def _(s):
    s.OPTIMIZERS["sgd"] = NesterovSGD
