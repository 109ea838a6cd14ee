"""The project's own engines as backends, and copies of the spec that can be changed."""

import importlib.util
from functools import cache, partial
from types import ModuleType

import autograd
import numpy as np
from autograd.tracer import getval, isbox

from metairm_np import fast, spec
from metairm_np.optimizers import SGD, Adam

OPTIMIZERS = {"sgd": SGD, "adam": Adam}


def train_steps(engine, name, params, envs, optimizer, steps, **hyper):
    """Return the parameters after each of `steps` full-batch steps along engine.value_and_grad.

    Parameters
    ----------
    engine : object
        With `value_and_grad` and, where they are not this project's, the classes `OPTIMIZERS`.
    optimizer : dict
        {"name": "sgd", "lr": ..., "momentum": ...} or {"name": "adam", "lr": ..., "beta1": ...,
        "beta2": ..., "epsilon": ...}.
    name, params, envs, **hyper
        As for `value_and_grad`.
    """
    settings = {key: value for key, value in optimizer.items() if key != "name"}
    rule = getattr(engine, "OPTIMIZERS", OPTIMIZERS)[optimizer["name"]](**settings)
    state, path = rule.init(params), []
    for _ in range(steps):
        _, gradient = engine.value_and_grad(name, params, envs, **hyper)
        params, state = rule.update(gradient, state, params)
        path.append(params)
    return path


def sigma_and_weights(engine, params, envs, inner_lr, std_weight, *args, **hyper):
    """Return sigma (Eq. 5) and w_ij, the derivative of Eq. 6 by the meta-loss R_j(theta'_i).

    Parameters
    ----------
    engine : object
        With `meta_losses` and `sigma`.
    params, envs, inner_lr, std_weight, **hyper
        As for `meta_irm`.
    """
    L = engine.meta_losses(params, envs, inner_lr, *args, **hyper)
    s, slope = autograd.value_and_grad(engine.sigma)(L)
    return s, 1 + std_weight * slope


class Engine:
    """A module of this project as a backend, with the project's optimizers."""

    name: str
    engine: ModuleType

    def __getattr__(self, function):
        return getattr(self.engine, function)

    def train_steps(self, *args, **hyper) -> list:
        """Return the parameters after each step, as `train_steps`."""
        return train_steps(self.engine, *args, **hyper)


class Spec(Engine):
    """`metairm_np.spec` as a backend."""

    name, engine = "spec", spec

    def sigma_and_weights(self, *args, **hyper) -> tuple:
        """Return sigma and the weights of the meta-losses, as `sigma_and_weights`."""
        return sigma_and_weights(self.engine, *args, **hyper)


class Fast(Engine):
    """`metairm_np.fast` as a backend."""

    name, engine = "fast", fast


@cache
def code_of_spec():
    """Return the compiled spec."""
    return spec.__spec__.loader.get_code("metairm_np.spec")


def copy_of_spec():
    """Return a fresh copy of the module `metairm_np.spec`.

    A function that is set in the copy is used by the copy's other functions.
    """
    copy = importlib.util.module_from_spec(spec.__spec__)
    exec(code_of_spec(), vars(copy))
    copy.OPTIMIZERS = dict(OPTIMIZERS)
    copy.train_steps = partial(train_steps, copy)
    copy.sigma_and_weights = partial(sigma_and_weights, copy)
    return copy


def numbers(x):
    """Return the plain array inside autograd's boxes."""
    while isbox(x):
        x = getval(x)
    return np.asarray(x)
