"""The outer optimizers. Each `step` returns new parameters and leaves its arguments alone."""

import numpy as np

from metairm_np import _checks
from metairm_np._autodiff import tree_map


class SGD:
    """Stochastic gradient descent with momentum: v <- momentum v + g; theta <- theta - lr v.

    Parameters
    ----------
    lr : float >= 0
    momentum : float in [0, 1], default 0
        Polyak, 1964, in the form that PyTorch uses (no dampening).
    """

    def __init__(self, lr, momentum=0.0):
        _checks.number("lr", lr, low=0)
        _checks.number("momentum", momentum, 0, 1)
        self.lr, self.momentum = lr, momentum
        self.velocity = None

    def step(self, params, gradient):
        """Return the parameters after one step along `gradient`, both lists of (W, b)."""
        if self.velocity is None:
            self.velocity = tree_map(np.zeros_like, params)
        self.velocity = tree_map(lambda v, g: self.momentum * v + g, self.velocity, gradient)
        return tree_map(lambda p, v: p - self.lr * v, params, self.velocity)


class Adam:
    """Adam with bias correction (Kingma and Ba, 2015, Algorithm 1; epsilon outside the root).

    Parameters
    ----------
    lr : float >= 0, default 0.001
    beta1, beta2 : float in [0, 1], default 0.9 and 0.999
    epsilon : float >= 0, default 1e-8
    """

    def __init__(self, lr=0.001, beta1=0.9, beta2=0.999, epsilon=1e-8):
        for name, value, high in (
            ("lr", lr, np.inf),
            ("beta1", beta1, 1),
            ("beta2", beta2, 1),
            ("epsilon", epsilon, np.inf),
        ):
            _checks.number(name, value, 0, high)
        self.lr, self.beta1, self.beta2, self.epsilon = lr, beta1, beta2, epsilon
        self.t, self.m, self.v = 0, None, None

    def step(self, params, gradient):
        """Return the parameters after one step along `gradient`, both lists of (W, b)."""
        if self.m is None:
            self.m = self.v = tree_map(np.zeros_like, params)
        self.t += 1
        self.m = tree_map(lambda m, g: self.beta1 * m + (1 - self.beta1) * g, self.m, gradient)
        self.v = tree_map(lambda v, g: self.beta2 * v + (1 - self.beta2) * g * g, self.v, gradient)
        m_scale, v_scale = 1 / (1 - self.beta1**self.t), 1 / (1 - self.beta2**self.t)
        return tree_map(
            lambda p, m, v: p - self.lr * (m_scale * m) / (np.sqrt(v_scale * v) + self.epsilon),
            params,
            self.m,
            self.v,
        )
