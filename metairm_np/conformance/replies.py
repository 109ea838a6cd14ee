"""What a backend may answer in, tensors, lists or a vector, and what arrays it is taken as."""

import math

import numpy as np

LAYOUT = "give [(W, b), ...], [W0, b0, W1, b1, ...] or one vector of all {} numbers in that order"


class UnusableError(ValueError):
    """An answer that cannot be taken as what was asked for; the message is the finding."""


def array(value, what="the answer"):
    """Return a number, a list or any framework's tensor as an array.

    A tensor may require grad or be on another device.
    """
    if value is None or isinstance(value, dict):
        raise UnusableError(f"{what} is {kind(value)}; give an array, a tensor or a list")
    for step in ("detach", "cpu", "numpy"):
        if callable(getattr(value, step, None)):
            value = getattr(value, step)()
    if isinstance(value, (list, tuple)):
        parts = [array(part, what) for part in value]
        if len({part.shape for part in parts}) > 1:
            raise UnusableError(f"{what} is a list of parts with different shapes")
        value = parts
    return np.asarray(value)


def fitted(part, shape):
    """Return an array in the shape asked for if no other reading is possible, or else as it is.

    One number has any shape, a vector may be a single row, and a single column a vector. Nothing is
    transposed.
    """
    single = part.size == 1 == math.prod(shape)
    row = part.shape == (1, *shape)
    column = part.ndim == 1 and (len(part), 1) == shape
    return part.reshape(shape) if single or row or column else part


def number(value, what="value"):
    """Return a number, given as one or as an array with one entry."""
    return fitted(array(value, what), ())


def two(answer, what):
    """Return the two parts of an answer."""
    if not isinstance(answer, (list, tuple)) or len(answer) != 2:
        raise UnusableError(f"{what} is {kind(answer)}; give two things, such as (value, gradient)")
    return answer


def layers(answer, params, before="", what="the gradient"):
    """Return the arrays of an answer that is shaped as `params`, a list of (W, b), by name.

    A part that is None is zero.
    """
    shapes = [np.shape(part) for pair in params for part in pair]
    found = {}
    for k, part in enumerate(_parts(answer, shapes, what)):
        name = f"{'Wb'[k % 2]}{k // 2}"
        if k >= len(shapes):
            found[before + name] = array(part, name)
        elif part is None:
            found[before + name] = np.zeros(shapes[k])
        else:
            found[before + name] = fitted(array(part, name), shapes[k])
    return found


def vector(answer, size):
    """Return an answer as the vector of `size` numbers that it is, or else None."""
    if isinstance(answer, (list, tuple)) and len(answer) != size:
        return None
    if isinstance(answer, (list, tuple)) and any(np.ndim(part) for part in map(array, answer)):
        return None
    flat = array(answer)
    return flat.reshape(-1) if flat.shape in ((size,), (1, size), (size, 1)) else None


def _parts(answer, shapes, what):
    """Return the parts W0, b0, W1, b1, ... of an answer, each as it was given.

    As many entries as layers are pairs, twice as many are parts, as many as there are parameters
    are these; no two of the three numbers are equal, but where each part is one number.
    """
    sizes = [math.prod(shape) for shape in shapes]
    total = sum(sizes)
    if not isinstance(answer, (list, tuple)):
        flat = None if answer is None or isinstance(answer, dict) else vector(answer, total)
        if flat is None:
            raise UnusableError(f"{what} is {kind(answer)}; {LAYOUT.format(total)}")
        return [p.reshape(s) for p, s in zip(np.split(flat, np.cumsum(sizes)[:-1]), shapes)]
    if len(answer) == len(shapes):
        return answer
    if len(answer) == total:
        return _parts(array(answer, what), shapes, what)
    for l, pair in enumerate(answer):
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise UnusableError(f"layer {l} of {what} is {kind(pair)}; {LAYOUT.format(total)}")
    return [part for pair in answer for part in pair]


def kind(value):
    """Return what a value is, for a sentence."""
    if value is None:
        return "None"
    if hasattr(value, "shape"):
        return f"an array of shape {tuple(value.shape)}"
    size = f" of {len(value)}" if isinstance(value, (list, tuple, dict)) else ""
    return f"a {type(value).__name__}{size}"
