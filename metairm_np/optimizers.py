"""The outer optimizers, as values: `update` returns new ones and leaves its arguments alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from metairm_np import _checks
from metairm_np._autodiff import tree_map


class SGDState(NamedTuple):
    """What `SGD` remembers: the velocity v, a list of (W, b)."""

    velocity: list


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with momentum: v <- momentum v + g; theta <- theta - lr v.

    Parameters
    ----------
    lr : float >= 0
    momentum : float in [0, 1], default 0
        Polyak, 1964, in the form that PyTorch uses (no dampening).
    """

    lr: float
    momentum: float = 0.0

    def __post_init__(self):
        _checks.number("lr", self.lr, low=0)
        _checks.number("momentum", self.momentum, 0, 1)

    def init(self, params: list) -> SGDState:
        """Return the state before the first update."""
        return SGDState(tree_map(np.zeros_like, params))

    def update(self, gradient: list, state: SGDState, params: list) -> tuple[list, SGDState]:
        """Return the parameters and the state after one step along `gradient`.

        Parameters
        ----------
        gradient, params : list of (W, b)
        state : SGDState
            What `init` or the last `update` returned.

        Returns
        -------
        params : list of (W, b)
        state : SGDState
        """
        velocity = tree_map(lambda v, g: self.momentum * v + g, state.velocity, gradient)
        return tree_map(lambda p, v: p - self.lr * v, params, velocity), SGDState(velocity)


class AdamState(NamedTuple):
    """What `Adam` remembers: the number of updates t, and the moments m and v, lists of (W, b)."""

    t: int
    m: list
    v: list


@dataclass(frozen=True)
class Adam:
    """Adam with bias correction (Kingma and Ba, 2015, Algorithm 1; epsilon outside the root).

    Parameters
    ----------
    lr : float >= 0, default 0.001
    beta1, beta2 : float in [0, 1], default 0.9 and 0.999
    epsilon : float >= 0, default 1e-8
    """

    lr: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self):
        for name, high in (("lr", np.inf), ("beta1", 1), ("beta2", 1), ("epsilon", np.inf)):
            _checks.number(name, getattr(self, name), 0, high)

    def init(self, params: list) -> AdamState:
        """Return the state before the first update."""
        zeros = tree_map(np.zeros_like, params)
        return AdamState(0, zeros, zeros)

    def update(self, gradient: list, state: AdamState, params: list) -> tuple[list, AdamState]:
        """Return the parameters and the state after one step along `gradient`.

        Parameters
        ----------
        gradient, params : list of (W, b)
        state : AdamState
            What `init` or the last `update` returned.

        Returns
        -------
        params : list of (W, b)
        state : AdamState
        """
        t = state.t + 1
        m = tree_map(lambda m, g: self.beta1 * m + (1 - self.beta1) * g, state.m, gradient)
        v = tree_map(lambda v, g: self.beta2 * v + (1 - self.beta2) * g * g, state.v, gradient)
        m_scale, v_scale = 1 / (1 - self.beta1**t), 1 / (1 - self.beta2**t)
        params = tree_map(
            lambda p, m, v: p - self.lr * (m_scale * m) / (np.sqrt(v_scale * v) + self.epsilon),
            params,
            m,
            v,
        )
        return params, AdamState(t, m, v)
