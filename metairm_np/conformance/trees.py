"""Parameters of any model, a nested dict, list or tuple of arrays, as one vector and back."""

from collections.abc import Mapping

import numpy as np

from metairm_np.conformance import replies
from metairm_np.conformance.replies import UnusableError, kind


class Layout:
    """How a tree of arrays is laid out in one vector, its leaves one after the other.

    Attributes
    ----------
    theta : array
        The tree that it was made from, as a vector of float64.
    slices : dict of str to slice
        Where each leaf lies, by its name, such as "conv.weight".
    """

    def __init__(self, tree):
        self.tree_like = tree
        leaves = {name: replies.array(part, name) for name, part, _ in matching(tree, tree)}
        if not leaves:
            raise ValueError("theta has no arrays; give a dict, list or tuple of them")
        for name, leaf in leaves.items():
            if leaf.dtype.kind not in "fiu":
                raise TypeError(f"{name} of theta has dtype {leaf.dtype}; give real numbers")
        self.shapes = {name: leaf.shape for name, leaf in leaves.items()}
        ends = np.cumsum([0, *(leaf.size for leaf in leaves.values())])
        self.slices = {name: slice(a, b) for name, a, b in zip(leaves, ends[:-1], ends[1:])}
        self.theta = joined(leaves.values())

    def tree(self, vector):
        """Return a vector as the tree, in arrays of its own."""
        parts = iter([vector[s].reshape(self.shapes[name]).copy() for name, s in self])
        return rebuilt(self.tree_like, parts)

    def vector(self, answer, what="the gradient"):
        """Return a tree of the same shapes as the vector; it may be a vector already."""
        if answer is None:
            raise UnusableError(f"{what} is None; give it in the structure of theta")
        if not isinstance(answer, (Mapping, list, tuple)):
            flat = replies.vector(answer, len(self.theta))
            if flat is not None:
                return np.array(flat, np.float64)
        parts = []
        for name, _, part in matching(self.tree_like, answer, what):
            leaf = name.removeprefix(f"{what}.") if name != what else ROOT
            shape = self.shapes[leaf]
            part = np.zeros(shape) if part is None else replies.array(part, name)
            part = replies.fitted(part, shape)
            if part.shape != shape:
                raise UnusableError(f"{leaf} has shape {part.shape}, not {shape}")
            parts.append(part)
        return joined(parts)

    def __iter__(self):
        return iter(self.slices.items())


ROOT = "theta"  # the name of a tree that is one array


def joined(parts):
    """Return arrays as one vector of float64."""
    return np.concatenate([np.asarray(part, np.float64).reshape(-1) for part in parts])


def matching(tree, answer, name=""):
    """Yield (name, leaf of `tree`, what `answer` has in its place)."""
    if isinstance(tree, Mapping):
        if not isinstance(answer, Mapping) or answer.keys() != tree.keys():
            raise UnusableError(f"{name} is {kind(answer)}; give a dict with {', '.join(tree)}")
        pairs = [(key, tree[key], answer[key]) for key in tree]
    elif isinstance(tree, (list, tuple)):
        if not isinstance(answer, (list, tuple)) or len(answer) != len(tree):
            raise UnusableError(f"{name} is {kind(answer)}; give {len(tree)} parts, as theta has")
        pairs = [(k, part, answer[k]) for k, part in enumerate(tree)]
    else:
        yield name or ROOT, tree, answer
        return
    for key, part, other in pairs:
        yield from matching(part, other, f"{name}.{key}" if name else str(key))


def rebuilt(tree, parts):
    """Return a tree like `tree` with other leaves, taken from the iterator `parts`."""
    if isinstance(tree, Mapping):
        return {key: rebuilt(part, parts) for key, part in tree.items()}
    if isinstance(tree, (list, tuple)):
        found = [rebuilt(part, parts) for part in tree]
        return type(tree)(*found) if hasattr(tree, "_fields") else type(tree)(found)
    return next(parts)
