"""Mistakes of optimizers, and of the numbers' type, that the catalogue does not have."""

import numpy as np

from held_out.entry import held_out
from metairm_np._autodiff import tree_map
from metairm_np.conformance.mistakes.catalogue import wrap
from metairm_np.conformance.mistakes.optimizers import corrections
from metairm_np.conformance.mistakes.training import changed_rules
from metairm_np.optimizers import SGD, Adam


@held_out("RMSProp")
def _(s):
    class Wrong(Adam):
        def update(self, gradient, state, params):
            _, state = super().update(gradient, state, params)

            def moved(p, g, v):
                return p - self.lr * g / (np.sqrt(v) + self.epsilon)

            return tree_map(moved, params, gradient, state.v), state

    s.OPTIMIZERS["adam"] = Wrong


@held_out("betas swapped")
def _(s):
    s.OPTIMIZERS["adam"] = lambda lr, beta1, beta2, epsilon: Adam(lr, beta2, beta1, epsilon)


@held_out("learning rate decays")
def _(s):
    def decayed(kind):
        class Wrong(kind):
            def init(self, params):
                return super().init(params), 1

            def update(self, gradient, state, params):
                inner, t = state
                rule = kind(**{**vars(self), "lr": self.lr / t**0.5})
                params, inner = rule.update(gradient, inner, params)
                return params, (inner, t + 1)

        return Wrong

    changed_rules(s, decayed)


@held_out("momentum averaged with bias correction")
def _(s):
    class Wrong(SGD):
        def init(self, params):
            return super().init(params), 1

        def update(self, gradient, state, params):
            (velocity,), t = state
            m = self.momentum
            velocity = tree_map(lambda v, g: m * v + (1 - m) * g, velocity, gradient)
            scale = self.lr / (1 - m**t)
            return tree_map(lambda p, v: p - scale * v, params, velocity), ((velocity,), t + 1)

    s.OPTIMIZERS["sgd"] = Wrong


@held_out("averaged parameters returned")
def _(s):
    def wrong(right, *args, **hyper):
        path, averaged = right(*args, **hyper), []
        for k in range(1, len(path) + 1):
            averaged.append(tree_map(lambda *parts: sum(parts) / len(parts), *path[:k]))
        return averaged

    wrap(s, "train_steps", wrong)


@held_out("second moment from the largest gradient (AdaMax)")
def _(s):
    class Wrong(Adam):
        def init(self, params):
            return super().init(params), tree_map(np.zeros_like, params)

        def update(self, gradient, state, params):
            state, u = state
            _, state = super().update(gradient, state, params)
            u = tree_map(lambda a, g: np.maximum(self.beta2 * a, np.abs(g)), u, gradient)
            a, _ = corrections(self, state.t)

            def moved(p, m, u):
                return p - self.lr * a * m / (u + self.epsilon)

            return tree_map(moved, params, state.m, u), (state, u)

    s.OPTIMIZERS["adam"] = Wrong


@held_out("parameters kept in float16")
def _(s):
    def wrong(right, name, params, envs, **hyper):
        kept = tree_map(lambda p: p.astype(np.float16).astype(np.float64), params)
        return right(name, kept, envs, **hyper)

    wrap(s, "value_and_grad", wrong)
