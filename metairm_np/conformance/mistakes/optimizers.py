"""Known mistakes of the optimizers."""

import numpy as np

from metairm_np._autodiff import tree_map
from metairm_np.conformance.mistakes.catalogue import mistake
from metairm_np.optimizers import SGD, Adam

# ---- Adam ----------------------------------------------------------------------------------------


def adam(s, move):
    """Replace Adam's step by p - lr move(m, v, rule, t), the moments not corrected."""

    class Wrong(Adam):
        def update(self, gradient, state, params):
            _, state = super().update(gradient, state, params)

            def moved(p, m, v):
                return p - self.lr * move(m, v, self, state.t)

            return tree_map(moved, params, state.m, state.v), state

    s.OPTIMIZERS["adam"] = Wrong


def corrections(rule, t):
    """Return the factors 1 / (1 - beta^t) of both moments."""
    return 1 / (1 - rule.beta1**t), 1 / (1 - rule.beta2**t)


@mistake(
    "Adam without bias correction",
    "the moments are used as they are, without the factors 1 / (1 - beta^t)",
    "divide m by 1 - beta1^t and v by 1 - beta2^t (Kingma and Ba, 2015, Algorithm 1)",
)
def _(s):
    adam(s, lambda m, v, rule, t: m / (np.sqrt(v) + rule.epsilon))


@mistake(
    "bias correction of the first moment only",
    "v is used without the factor 1 / (1 - beta2^t)",
    "divide both moments",
)
def _(s):
    adam(s, lambda m, v, rule, t: corrections(rule, t)[0] * m / (np.sqrt(v) + rule.epsilon))


@mistake(
    "bias correction one step late",
    "the factors are 1 / (1 - beta^t) with t one too large, or one too small but in the first step",
    "t is 1 in the first step",
    variants=(1, -1),
)
def _(s, more):
    def move(m, v, rule, t):
        a, b = corrections(rule, max(t + more, 1))
        return a * m / (np.sqrt(b * v) + rule.epsilon)

    adam(s, move)


@mistake(
    "Adam's epsilon inside the root",
    "m / sqrt(v + epsilon)",
    "use m / (sqrt(v) + epsilon)",
)
def _(s):
    def move(m, v, rule, t):
        a, b = corrections(rule, t)
        return a * m / np.sqrt(b * v + rule.epsilon)

    adam(s, move)


@mistake(
    "Adam's epsilon not rescaled",
    "the corrections are drawn into the learning rate, so that epsilon is added to the root of v "
    "before its correction: the 'epsilon hat' of Kingma and Ba, as in TensorFlow",
    "add epsilon to the root of the corrected v",
)
def _(s):
    def move(m, v, rule, t):
        a, b = corrections(rule, t)
        return a / np.sqrt(b) * m / (np.sqrt(v) + rule.epsilon)

    adam(s, move)


@mistake(
    "another epsilon in Adam",
    "epsilon is a constant, not the one that is given",
    "use the optimizer's epsilon",
    variants=(1e-8, 1e-7),
    number="epsilon",
)
def _(s, epsilon):
    def move(m, v, rule, t):
        a, b = corrections(rule, t)
        return a * m / (np.sqrt(b * v) + epsilon)

    adam(s, move)


@mistake(
    "AMSGrad",
    "v is the largest second moment so far (amsgrad=True), corrected before or after",
    "use the second moment of this step",
    variants=("before", "after"),
)
def _(s, corrected):
    class Wrong(Adam):
        def init(self, params):
            return super().init(params), tree_map(np.zeros_like, params)

        def update(self, gradient, state, params):
            state, largest = state
            _, state = super().update(gradient, state, params)
            a, b = corrections(self, state.t)
            before = b if corrected == "before" else 1.0
            largest = tree_map(lambda u, v: np.maximum(u, before * v), largest, state.v)

            def moved(p, m, v):
                return p - self.lr * a * m / (np.sqrt(v * b / before) + self.epsilon)

            return tree_map(moved, params, state.m, largest), (state, largest)

    s.OPTIMIZERS["adam"] = Wrong


# ---- SGD -----------------------------------------------------------------------------------------


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


@mistake("momentum ignored", "SGD has no momentum", "use v <- momentum v + g")
def _(s):
    s.OPTIMIZERS["sgd"] = lambda lr, momentum=0.0: SGD(lr)


@mistake(
    "another momentum",
    "SGD's momentum is a constant, not the one that is given",
    "use the optimizer's momentum",
    variants=(0.9,),
    number="momentum",
)
def _(s, m):
    class Wrong(SGD):
        def update(self, gradient, state, params):
            velocity = tree_map(lambda v, g: m * v + g, state.velocity, gradient)
            return tree_map(lambda p, v: p - self.lr * v, params, velocity), type(state)(velocity)

    s.OPTIMIZERS["sgd"] = Wrong
