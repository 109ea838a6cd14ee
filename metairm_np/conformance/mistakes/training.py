"""Known mistakes of training: what an optimizer is given, and when."""

import numpy as np

from metairm_np._autodiff import tree_map
from metairm_np.conformance.mistakes.catalogue import mistake, wrap
from metairm_np.mlp import squared_norm


@mistake(
    "weight decay decoupled",
    "AdamW: the parameters shrink besides the step, so that the norm's gradient is not scaled by "
    "Adam or kept by momentum",
    "add l2 ||theta||^2 to the objective (torch.optim.Adam(weight_decay=2 * l2) is the same)",
    variants=((2.0, "sgd adam"), (1.0, "sgd adam"), (2.0, "adam"), (1.0, "adam")),
)
def _(s, variant):
    factor, rules = variant

    def wrong(right, name, params, envs, optimizer, steps, l2=0.0, **hyper):
        if optimizer["name"] not in rules.split():
            return right(name, params, envs, optimizer, steps, l2=l2, **hyper)
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

    wrap(s, "train_steps", wrong)


def changed_rules(s, change):
    """Replace each optimizer's class by change(class)."""
    s.OPTIMIZERS = {name: change(kind) for name, kind in s.OPTIMIZERS.items()}


def changed_gradient(s, change):
    """Replace an optimizer's gradient by change(g, before), before the last one or None."""

    def changed(kind):
        class Wrong(kind):
            def init(self, params):
                return super().init(params), None

            def update(self, gradient, state, params):
                inner, before = state
                gradient = change(gradient, before)
                params, inner = super().update(gradient, inner, params)
                return params, (inner, gradient)

        return Wrong

    changed_rules(s, changed)


@mistake(
    "gradients accumulated",
    "the gradients of all steps so far are added up (zero_grad missing)",
    "set the gradients to zero before each step",
)
def _(s):
    changed_gradient(s, lambda g, before: g if before is None else tree_map(np.add, before, g))


@mistake(
    "gradient clipped before the step",
    "the meta-gradient is scaled down to the norm c where it is longer",
    "take the step along the gradient itself",
    variants=(0.25, 1.0),
    number="c",
)
def _(s, c):
    def clipped(g, before):
        size = float(np.sqrt(squared_norm(g)))
        return tree_map(lambda part: part * (c / size), g) if size > c else g

    changed_gradient(s, clipped)


@mistake(
    "optimizer's state lost",
    "the optimizer is made anew for each step, so that momentum and moments begin at 0",
    "make the optimizer once",
)
def _(s):
    def forgetful(kind):
        class Wrong(kind):
            def update(self, gradient, state, params):
                return super().update(gradient, self.init(params), params)

        return Wrong

    changed_rules(s, forgetful)


@mistake(
    "learning rate scaled",
    "each step is c times as long",
    "use the optimizer's lr",
    variants=(0.5,),
    number="c",
)
def _(s, c):
    def scaled(kind):
        class Wrong(kind):
            def update(self, gradient, state, params):
                rule = kind(**{**vars(self), "lr": c * self.lr})
                return rule.update(gradient, state, params)

        return Wrong

    changed_rules(s, scaled)


@mistake(
    "weight decay on top of l2",
    "the norm is in the objective, and the optimizer has a weight_decay of l2, or 2 l2, besides",
    "have it in one place",
    variants=(1.0, 2.0),
)
def _(s, factor):
    def wrong(right, *args, l2=0.0, **hyper):
        return right(*args, l2=l2 * (1 + factor / 2), **hyper)

    wrap(s, "train_steps", wrong)
