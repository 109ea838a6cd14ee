"""Mistakes of risk, network, norm, environments and baselines that the catalogue does not have."""

import autograd
import autograd.numpy as np

from held_out.entry import held_out
from metairm_np.conformance.mistakes.catalogue import wrap
from metairm_np.conformance.mistakes.edits import (
    affine,
    binary,
    change_envs,
    one_hot,
    penalty,
    perceptron,
    slope,
    spread,
)
from metairm_np.environments import Environment
from metairm_np.mlp import squared_norm

# ---- risk ----------------------------------------------------------------------------------------


@held_out("hinge loss")
def _(s):
    binary(s, lambda right, f, y: np.mean(np.maximum(0.0, 1 - (2 * y - 1) * f[:, 0])))


@held_out("temperature")
def _(s):
    wrap(s, "cross_entropy", lambda right, f, y: right(f / 2, y))


@held_out("one-vs-rest losses for several classes")
def _(s):
    def wrong(right, f, y):
        if f.shape[1] == 1:
            return right(f, y)
        return np.mean(np.sum(np.logaddexp(0.0, f) - one_hot(f, y) * f, axis=1))

    wrap(s, "cross_entropy", wrong)


@held_out("softmax over the samples")
def _(s):
    def wrong(right, f, y):
        if f.shape[1] == 1:
            return right(f, y)
        log_p = f - np.log(np.sum(np.exp(f - np.max(f)), axis=0)) - np.max(f)
        return -np.mean(np.sum(one_hot(f, y) * log_p, axis=1))

    wrap(s, "cross_entropy", wrong)


@held_out("labels 0 and 1 taken as signs")
def _(s):
    binary(s, lambda right, f, y: np.mean(np.logaddexp(0.0, -y * f[:, 0])))


# ---- network -------------------------------------------------------------------------------------


@held_out("GELU units")
def _(s):
    perceptron(
        s, affine, lambda a: 0.5 * a * (1 + np.tanh((2 / np.pi) ** 0.5 * (a + 0.044715 * a**3)))
    )


@held_out("softplus units")
def _(s):
    perceptron(s, affine, lambda a: np.logaddexp(0.0, a))


@held_out("ReLU6 units")
def _(s):
    perceptron(s, affine, lambda a: np.where(a > 6, 6.0, a * (a > 0)))


@held_out("hidden units normalised over the batch")
def _(s):
    def unit(a):
        centred = a - np.mean(a, axis=0)
        a = centred / np.sqrt(np.mean(centred**2, axis=0) + 1e-5)
        return a * (a > 0)

    perceptron(s, affine, unit)


@held_out("residual connections")
def _(s):
    def logits(params, x):
        for W, b in params[:-1]:
            a = affine(x, W, b)
            x = a * (a > 0) + (x if W.shape[0] == W.shape[1] else 0.0)
        return affine(x, *params[-1])

    s.logits = logits


# ---- environments --------------------------------------------------------------------------------


@held_out("environments cut to the shortest")
def _(s):
    def cut(envs, name):
        n = min(map(len, envs))
        return [Environment(env.x[:n], env.y[:n]) for env in envs]

    change_envs(s, cut)


@held_out("first minibatch only")
def _(s):
    wrap(s, "cross_entropy", lambda right, f, y: right(f[:8], y[:8]))


@held_out("repeated environments counted once")
def _(s):
    def once(params, envs):
        distinct = {(env.x.tobytes(), env.y.tobytes()): env for env in envs}
        return np.sum(s.risks(params, list(distinct.values())))

    s.erm = once


# ---- norm ----------------------------------------------------------------------------------------


@held_out("last layer's norm only")
def _(s):
    s.squared_norm = lambda params: squared_norm(params[-1:])


@held_out("norm without gradient")
def _(s):
    def wrong(right, name, params, envs, l2=0.0, **hyper):
        value, gradient = right(name, params, envs, **hyper)
        return value + l2 * float(squared_norm(params)), gradient

    wrap(s, "value_and_grad", wrong)


@held_out("l2 squared")
def _(s):
    wrap(s, "value_and_grad", lambda right, *args, l2=0.0, **hyper: right(*args, l2=l2**2, **hyper))


# ---- baselines -----------------------------------------------------------------------------------


@held_out("IRMv1 penalty by an added constant")
def _(s):
    penalty(s, lambda f, y: autograd.grad(lambda c: s.cross_entropy(f + c, y))(0.0) ** 2)


@held_out("IRMv1 penalties summed before the square")
def _(s):
    def wrong(params, envs, penalty_weight):
        slopes = [slope(s, s.logits(params, env.x), env.y) for env in envs]
        return s.erm(params, envs) + penalty_weight * sum(slopes) ** 2

    s.irmv1 = wrong


@held_out("V-REx halved")
def _(s):
    spread(s, lambda R: s.variance(R) / 2)


@held_out("V-REx about the smallest risk")
def _(s):
    spread(s, lambda R: np.mean((R - np.min(R)) ** 2))


@held_out("MM-REx with the first of tied maxima")
def _(s):
    def wrong(params, envs, lambda_min):
        R = s.risks(params, envs)
        first = int(np.argmax(np.array([float(s.risk(params_of(params), env)) for env in envs])))
        return (1 - len(envs) * lambda_min) * R[first] + lambda_min * np.sum(R)

    def params_of(params):
        value = autograd.tracer.getval
        return [tuple(value(value(part)) for part in pair) for pair in params]

    s.mm_rex = wrong
