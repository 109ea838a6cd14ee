"""Parameters as one vector, so that to add or to scale them is one operation on one array."""

from functools import cache

import numpy as np


class Theta:
    """A list of (W, b) in one vector: layer after layer, each a matrix with b above W.

    Parameters
    ----------
    vector : (P,) array
    sizes : tuple
        (d, H_1, ..., out).

    Attributes
    ----------
    layers : list of array
        The matrices (1 + H_{l-1}, H_l), b_l above W_l, views of the vector.
    """

    def __init__(self, vector, sizes):
        self.vector, self.sizes, self._layers = vector, sizes, None

    @property
    def layers(self):
        """The matrices; made when first asked for, since most vectors are only added."""
        if self._layers is None:
            self._layers = [
                self.vector[start:stop].reshape(-1, columns)
                for start, stop, columns in places(self.sizes)
            ]
        return self._layers

    @classmethod
    def of(cls, params, dtype):
        """Return a copy of a list of (W, b)."""
        sizes = (len(params[0][0]), *(W.shape[1] for W, _ in params))
        theta = cls.empty(sizes, dtype)
        for A, (W, b) in zip(theta.layers, params):
            A[0], A[1:] = b, W
        return theta

    @classmethod
    def zeros(cls, sizes, dtype):
        """Return zeros for layers of these sizes."""
        return cls(np.zeros(places(sizes)[-1][1], dtype), sizes)

    @classmethod
    def empty(cls, sizes, dtype):
        """Return room for layers of these sizes."""
        return cls(np.empty(places(sizes)[-1][1], dtype), sizes)

    @property
    def after_first(self):
        """All layers but the first, a view of the vector."""
        return self.vector[self.layers[0].size :]

    def bordered(self):
        """Return the layers as `network` takes them: the first with b in W, then (W, b)."""
        first, *others = self.layers
        return [(first, None), *((A[1:], A[0]) for A in others)]

    def __iter__(self):
        """Yield (W, b) of each layer, views of the vector."""
        return ((A[1:], A[0]) for A in self.layers)

    def add(self, factor, v):
        """Add factor * v in place."""
        factor = float(factor)  # a Python number leaves float32 as it is
        self.vector += v.vector if factor == 1 else factor * v.vector

    def scale(self, factor):
        """Multiply by a number in place."""
        if factor != 1:
            self.vector *= float(factor)

    def plus(self, factor, v):
        """Return theta + factor * v."""
        vector = float(factor) * v.vector
        vector += self.vector
        return Theta(vector, self.sizes)

    def times(self, factor):
        """Return factor * theta; the factor may be a list of (W, b), entry by entry."""
        if isinstance(factor, (float, int)):
            return Theta(factor * self.vector, self.sizes)
        return Theta(Theta.of(factor, self.vector.dtype).vector * self.vector, self.sizes)


@cache
def places(sizes):
    """Return where each layer starts and stops in the vector, and its columns."""
    found, start = [], 0
    for m, n in zip(sizes, sizes[1:]):
        found.append((start, start + (1 + m) * n, n))
        start += (1 + m) * n
    return found
