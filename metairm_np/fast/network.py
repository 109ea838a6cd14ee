"""The perceptron's derivatives in closed form, on one chunk of samples; the numbers are the lines of docs/derivation.md.

A chunk's first column of x is 1, and the first row of its W_1 is b_1: the largest matrix product
adds its bias for nothing, and layer 1 has no b. m is the number of samples, H_l the width of layer
l, L the number of layers. `work` (a `Workspace`) lends the arrays that are written, so that nothing
is allocated and everything stays in cache. Gradients are sums over the samples of the chunk and are
added to `total`, a list of (dW, db).
"""

import numpy as np
from scipy.special import expit, log_expit

ARENA_BYTES = 2**23


class Workspace:
    """Arrays that are used again from chunk to chunk, one for each key, all from one piece of memory with large pages."""

    def __init__(self, dtype):
        self.dtype, self.flat, self.free = np.dtype(dtype), {}, np.empty(0, dtype)

    def __call__(self, key, rows, columns):
        """Lend an array (rows, columns)."""
        size = rows * columns
        if key not in self.flat or self.flat[key].size < size:
            room = -(-size // 64) * 64  # the next array starts on a cache line, too
            if self.free.size < room:
                self.free = np.empty(max(room, ARENA_BYTES // self.dtype.itemsize), self.dtype)
            self.flat[key], self.free = self.free[:room], self.free[room:]
        return self.flat[key][:size].reshape(rows, columns)

    def dot(self, key, a, b):
        """Return the matrix product in the array that `key` lends."""
        return np.dot(a, b, out=self(key, a.shape[0], b.shape[1]))

    def positive(self, key, h):
        """Return [h > 0], 1 or 0 in the array that `key` lends."""
        return np.greater(h, 0, out=self(key, *h.shape))


# ---- the risk and its gradient -------------------------------------------------------------------


def forward(params, x, work, store=None, known=False):
    """(1) h_0 = x, a_l = h_{l-1} W_l + b_l, h_l = max(0, a_l), f = a_L; give h, [h > 0] and f.

    The h_l are written into the arrays `store`, if there are any; if they are `known`, they are
    read from there.
    """
    h, step = [x], [None]  # (m, 1 + d)
    for l, (W, b) in enumerate(params[:-1], 1):
        a = store[l - 1] if known else work.dot(f"h{l}", h[-1], W)  # (m, H_l)
        if not known and l > 1:
            a += b
        step.append(work.positive(f"step{l}", a))
        if not known:  # the product is several times as fast as maximum(a, 0)
            a = np.multiply(a, step[l], out=store[l - 1] if store else a)
        h.append(a)
    W, b = params[-1]
    f = np.dot(h[-1], W)  # (m, out)
    return h, step, f if b is None else f + b


def loss_and_slope(f, y):
    """(2, 3) The losses, (m,), and delta = d loss / d f, (m, out).

    Two classes: log(1 + e^z) and s / (1 + e^-z) with z = s f, s = 1 where y = 0 and -1 where y = 1.
    More classes: log sum_c e^f_c - f_y and p - [y].
    """
    if f.shape[1] == 1:
        s = (1 - 2 * y).astype(f.dtype)[:, None]
        return -log_expit(-s * f)[:, 0], s * expit(s * f)
    each = np.arange(len(y))
    shifted = f - f.max(axis=1, keepdims=True)
    p = np.exp(shifted)
    total = p.sum(axis=1, keepdims=True)
    loss = np.log(total[:, 0]) - shifted[each, y]
    p /= total
    p[each, y] -= 1
    return loss, p


def curve(f, y, delta, Rf):
    """(6) R delta = (d delta / d f) R f, (m, out): p (1 - p) R f for two classes, p (R f - p . R f) for more."""
    if f.shape[1] == 1:
        return expit(f) * expit(-f) * Rf
    p = delta.copy()
    p[np.arange(len(y)), y] += 1
    return p * (Rf - (p * Rf).sum(axis=1, keepdims=True))


def backward(params, h, step, delta, total, work):
    """(4) D_L = delta, dW_l = h_{l-1}' D_l, db_l = 1' D_l, D_{l-1} = [h_{l-1} > 0] (D_l W_l')."""
    D = delta  # (m, out)
    for l in range(len(params), 0, -1):
        W, (dW, db) = params[l - 1][0], total[l - 1]
        dW += work.dot(f"dW{l}", h[l - 1].T, D)  # (H_{l-1}, H_l)
        if l > 1:
            db += D.sum(axis=0)  # (H_l,)
            D = work.dot(f"D{l - 1}", D, W.T)  # (m, H_{l-1})
            D *= step[l - 1]


# ---- the Hessian times a vector, by Pearlmutter's R: the derivative along v, of params + r v at r


def r_forward(params, v, h, step, work):
    """(5) R h_0 = 0, R a_l = h_{l-1} V_l + v_l + R h_{l-1} W_l, R h_l = [h_l > 0] R a_l; give R h and R f = R a_L."""
    Rh = [None]
    for l, ((W, _), (V, vb)) in enumerate(zip(params, v), 1):
        Ra = work.dot(f"Rh{l}", h[l - 1], V)  # (m, H_l)
        if l > 1:
            Ra += vb
            Ra += work.dot("product", Rh[-1], W)
        if l < len(params):
            Ra *= step[l]
        Rh.append(Ra)
    return Rh[:-1], Rh[-1]


def r_backward(params, v, h, step, Rh, delta, Rdelta, total, work):
    """(7) The R of line 4: R dW_l = h_{l-1}' R D_l + R h_{l-1}' D_l, R D_{l-1} = [h_{l-1} > 0] (R D_l W_l' + D_l V_l')."""
    D, RD = delta, Rdelta  # (m, out)
    for l in range(len(params), 0, -1):
        (W, _), (V, _), (dW, db) = params[l - 1], v[l - 1], total[l - 1]
        dW += work.dot(f"dW{l}", h[l - 1].T, RD)  # (H_{l-1}, H_l)
        if l > 1:
            dW += work.dot(f"dW{l}", Rh[l - 1].T, D)
            db += RD.sum(axis=0)  # (H_l,)
            RD = work.dot(f"RD{l - 1}", np.hstack((RD, D)), np.hstack((W, V)).T)  # (m, H_{l-1})
            RD *= step[l - 1]
        if l > 2:  # the first layer needs no D, for R h_0 = 0
            D = work.dot(f"D{l - 1}", D, W.T)
            D *= step[l - 1]
