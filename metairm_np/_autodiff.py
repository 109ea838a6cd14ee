"""What autograd lacks: constants, and maps over whole lists of (W, b)."""

import autograd.numpy as np
from autograd.extend import defvjp, notrace_primitive, primitive


@notrace_primitive
def largest_other(f, y):
    """Return the largest entry beside f[s, y[s]] of each row of `f`, (n, 1), as a constant."""
    others = f.copy()
    others[np.arange(len(y)), y] = -np.inf
    return np.max(others, axis=1, keepdims=True)


@primitive
def stop_gradient(x):
    """Return `x` as a constant: its derivative is taken as 0."""
    return x


defvjp(stop_gradient, lambda ans, x: lambda g: np.zeros_like(g))


def tree_map(function, *params):
    """Apply `function` to matching arrays of several lists of (W, b)."""
    return [tuple(function(*parts) for parts in zip(*layers)) for layers in zip(*params)]
