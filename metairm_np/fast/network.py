"""The perceptron's derivatives in closed form; the numbers are the lines of docs/derivation.md.

Where the first column of x is 1, the first row of W_1 is b_1 and the b of layer 1 is None: the
largest matrix product adds its bias for nothing. x is a `Samples`, all else are arrays. m is the
number of samples, H_l the width of layer l, L the number of layers; h[l] and mask[l] are between
layers l and l + 1, and params[l] is layer l + 1. `work` (a `Workspace`) lends the arrays that are
written, so that nothing large is allocated and everything stays in cache. Gradients are sums over
the samples and are added to `total`, a list of (dW, db).
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

ARENA_BYTES = 2**23


class Workspace:
    """Arrays that are used again and again, one for each key, from one piece of memory.

    Parameters
    ----------
    dtype : dtype
    new : bool, default False
        Whether totals hold nothing yet, so that sums are written into them and not added.
    """

    def __init__(self, dtype, new=False):
        self.new = new
        self.dtype, self.flat, self.free = np.dtype(dtype), {}, np.empty(0, dtype)
        self.lent = {}

    def __call__(self, key, rows, columns):
        """Lend an array (rows, columns)."""
        array = self.lent.get((key, rows, columns))
        return self._find(key, rows, columns) if array is None else array

    def _find(self, key, rows, columns):
        size = rows * columns
        if key not in self.flat or self.flat[key].size < size:
            room = -(-size // 64) * 64  # the next array starts on a cache line, too
            if self.free.size < room:
                self.free = np.empty(max(room, ARENA_BYTES // self.dtype.itemsize), self.dtype)
            self.flat[key], self.free = self.free[:room], self.free[room:]
            self.lent.clear()
        array = self.lent[key, rows, columns] = self.flat[key][:size].reshape(rows, columns)
        return array

    def dot(self, key, a, b):
        """Return the matrix product in the array that `key` lends."""
        return np.dot(a, b, out=self(key, a.shape[0], b.shape[1]))

    def add_dot(self, total, a, b):
        """Add the matrix product to a total, or write it if that is new."""
        if self.new:
            np.dot(a, b, out=total)
        else:
            total += self.dot("dW", a, b)

    def add_column_sums(self, total, D):
        """Add 1' D, or write it; the product is several times as fast as the sum over the rows."""
        if self.new:
            np.dot(ones(len(D), D.dtype), D, out=total)
        else:
            total += np.dot(ones(len(D), D.dtype), D)

    def affine(self, key, h, W, b):
        """Return h W + b; where b is None, it is in W, under the column of ones of h."""
        if isinstance(h, Samples):
            a = h.times(W, self(key, h.m, W.shape[1]))
        else:
            a = self.dot(key, h, W)
        if b is not None:
            a += b
        return a

    def positive(self, key, h):
        """Return [h > 0], 1 or 0 in the array that `key` lends."""
        return np.greater(h, 0, out=self(key, *h.shape))


class Samples(NamedTuple):
    """x of m samples, in pieces that leave out columns of zeros: (x, rows, place).

    A piece has the samples `rows`, and its columns are those of the rows `place` of W_1; both are
    slices. The first `covering` pieces take each row of W_1 once, if it is not 0.
    """

    m: int
    pieces: list
    covering: int = 0

    def times(self, W, out):
        """Write x W into `out`, (m, H_1)."""
        for x, rows, place in self.pieces:
            np.dot(x, W[place], out=out[rows])
        return out

    def add_transposed_times(self, D, total, work):
        """Add x' D to dW, and 1' D to db if b is not in W; (dW, db) is `total`."""
        dW, db = total
        for number, (x, rows, place) in enumerate(self.pieces):
            if number < self.covering:
                work.add_dot(dW[place], x.T, D[rows])
            else:
                dW[place] += work.dot("dW", x.T, D[rows])
        if db is not None:
            work.add_column_sums(db, D)


class Activations(NamedTuple):
    """What a forward pass leaves for the backward passes."""

    h: list  # h_0 = x (Samples), h_1 (m, H_1), ..., h_{L-1}
    mask: list  # None, [h_1 > 0], ..., [h_{L-1} > 0]
    f: np.ndarray  # (m, out)


# ---- the risk and its gradient -------------------------------------------------------------------


def forward(params, x, work, hidden=None):
    """(1) h_0 = x, a_l = h_{l-1} W_l + b_l, h_l = max(0, a_l), f = a_L.

    h_1, ..., h_{L-1} are written into the arrays `hidden`, if given.
    """
    h, mask = [x], [None]
    for l, (W, b) in enumerate(params[:-1], 1):
        a = work.affine(f"h{l}", h[-1], W, b)  # (m, H_l)
        mask.append(work.positive(f"mask{l}", a))
        # the product is several times as fast as maximum(a, 0)
        h.append(np.multiply(a, mask[-1], out=a if hidden is None else hidden[l - 1]))
    return Activations(h, mask, work.affine("f", h[-1], *params[-1]))


def forward_from(params, x, work, hidden):
    """(1) The same where h_1, ..., h_{L-1} are known: `hidden`."""
    mask = [None, *(work.positive(f"mask{l}", h) for l, h in enumerate(hidden, 1))]
    h = [x, *hidden]
    return Activations(h, mask, work.affine("f", h[-1], *params[-1]))


def loss_and_slope(f, y):
    """(2, 3) The losses, (m,), and delta = d loss / d f, (m, out).

    Two classes: log(1 + e^z) and s / (1 + e^-z) with z = s f, s = 1 where y = 0 and -1 where y = 1.
    More classes: log sum_c e^f_c - f_y and p - [y].
    """
    if f.shape[1] == 1:
        s = (1 - 2 * y).astype(f.dtype)[:, None]
        z = s * f
        e = np.exp(-np.abs(z))  # one exponential, never above 1, for both
        loss = np.maximum(z, 0)
        loss += np.log1p(e)
        slope = np.where(z < 0, e, 1)
        slope *= s
        e += 1
        slope /= e
        return loss[:, 0], slope
    each = np.arange(len(y))
    shifted = f - f.max(axis=1, keepdims=True)
    p = np.exp(shifted)
    total = p.sum(axis=1, keepdims=True)
    loss = np.log(total[:, 0]) - shifted[each, y]
    p /= total
    p[each, y] -= 1
    return loss, p


def curve(f, y, delta, Rf):
    """(6) R delta = (d delta / d f) R f, (m, out).

    Two classes: p (1 - p) R f. More classes: p (R f - p . R f).
    """
    if f.shape[1] == 1:
        e = np.exp(-np.abs(f))  # p (1 - p) = e / (1 + e)^2
        return e / (1 + e) ** 2 * Rf
    p = delta.copy()
    p[np.arange(len(y)), y] += 1
    return p * (Rf - (p * Rf).sum(axis=1, keepdims=True))


def backward(params, activations, delta, total, work):
    """(4) D_L = delta, dW_l = h_{l-1}' D_l, db_l = 1' D_l, D_{l-1} = [h_{l-1} > 0] (D_l W_l')."""
    h, mask, _ = activations
    D = delta  # (m, out)
    for l in reversed(range(1, len(params))):
        dW, db = total[l]
        work.add_dot(dW, h[l].T, D)  # (H_l, H_{l+1})
        work.add_column_sums(db, D)  # (H_{l+1},)
        D = work.dot(f"D{l}", D, params[l][0].T)  # (m, H_l)
        D *= mask[l]
    h[0].add_transposed_times(D, total[0], work)  # (1 + d, H_1)


@lru_cache(16)
def ones(n, dtype):
    """Return n ones, which nobody may change."""
    return np.ones(n, dtype)


# ---- the Hessian times a vector, by Pearlmutter's R: the derivative along v, of params + r v at r


def r_forward(params, v, activations, work):
    """(5) R h_0 = 0, R a_l = h_{l-1} V_l + v_l + R h_{l-1} W_l, R h_l = [h_l > 0] R a_l.

    Return `Activations` of R h, the mask and R f = R a_L.
    """
    h, mask, _ = activations
    Rh = [None]
    Ra = work.affine("Rh1", h[0], *v[0])  # (m, H_1)
    for l in range(1, len(params)):
        Ra *= mask[l]
        Rh.append(Ra)
        Ra = work.affine(f"Rh{l + 1}", h[l], *v[l])  # (m, H_{l+1})
        Ra += work.dot("product", Rh[l], params[l][0])
    return Activations(Rh, mask, Ra)


def r_backward(params_and_v, activations, delta, total, work):
    """(7) The R of line 4; the first three are what `backward` takes, each with its R as a pair.

    R dW_l = h_{l-1}' R D_l + R h_{l-1}' D_l, R D_{l-1} = [h_{l-1} > 0] (R D_l W_l' + D_l V_l').
    """
    (params, v), ((h, mask, _), (Rh, _, _)) = params_and_v, activations
    D, RD = delta  # (m, out)
    for l in reversed(range(1, len(params))):
        (W, _), (V, _), (dW, db) = params[l], v[l], total[l]
        work.add_dot(dW, h[l].T, RD)  # (H_l, H_{l+1})
        dW += work.dot("dW", Rh[l].T, D)
        work.add_column_sums(db, RD)  # (H_{l+1},)
        RD = work.dot(f"RD{l}", beside(RD, D), beside(W, V).T)  # (m, H_l)
        RD *= mask[l]
        if l > 1:  # D_1 is not needed, for R h_0 = 0
            D = work.dot(f"D{l}", D, W.T)
            D *= mask[l]
    h[0].add_transposed_times(RD, total[0], work)  # (1 + d, H_1)


def beside(a, b):
    """Return two matrices side by side."""
    return np.concatenate((a, b), axis=1)
