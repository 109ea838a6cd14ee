"""How an environment keeps its samples without most of their zeros: in groups, and these in blocks."""

from typing import NamedTuple

import numpy as np

ROWS = 512  # of a block; more would be wider, fewer would be many


class Block(NamedTuple):
    """Some samples of a group.

    x : (m, c) or (m, 1 + c) array
        The inputs in the group's first c columns; the inputs in all other columns are 0.
    y : (m,) array of int
    rows : (m,) array of int
        Where the samples are in the environment's `x` and `y`.
    """

    x: np.ndarray
    y: np.ndarray
    rows: np.ndarray


class Group(NamedTuple):
    """Samples that share their zeros; together the groups of an environment hold each sample once.

    columns : (c,) array of int, or slice
        Where the inputs are in the rows of `x`.
    ones : bool
        Whether the blocks' x have a column of ones before the others.
    blocks : list of Block
    """

    columns: np.ndarray | slice
    ones: bool
    blocks: list


def pack(x, y, rows, widths):
    """Return the blocks of samples in the order of their widths, x[s, widths[s]:] = 0, each with a column of ones."""
    parts = [slice(start, min(start + ROWS, len(y))) for start in range(0, len(y), ROWS)]
    arrays = consecutive(
        [(part.stop - part.start, 1 + widths[part.stop - 1]) for part in parts], x.dtype
    )
    for part, array in zip(parts, arrays):
        array[:, 0] = 1
        array[:, 1:] = x[part, : array.shape[1] - 1]
    return [Block(array, y[part], rows[part]) for part, array in zip(parts, arrays)]


def consecutive(shapes, dtype):
    """Return empty arrays that lie one after the other: in one large piece of memory, pages are large and found sooner."""
    ends = np.cumsum([m * c for m, c in shapes])
    flat = np.empty(ends[-1], dtype)
    return [flat[end - m * c : end].reshape(m, c) for end, (m, c) in zip(ends, shapes)]


def staircase(filled):
    """Order columns and measure rows so that the filled places make a staircase with few empty places on its steps.

    The column that is filled in the fewest rows comes last and those rows get its place as their
    width; then the same among the other columns and the rows that are left, and so on.

    Parameters
    ----------
    filled : (n, c) array of bool

    Returns
    -------
    order : (c,) array of int
        The columns; filled[s, order[widths[s]:]] is False.
    widths : (n,) array of int
    """
    n, c = filled.shape
    order, widths = np.empty(c, int), np.zeros(n, int)
    counts = filled.sum(axis=0)  # over the rows left
    left = np.arange(n)
    for place in range(c, 0, -1):
        column = np.argmin(counts)
        here = filled[left, column]
        widths[left[here]] = place
        counts -= filled[left[here]].sum(axis=0)
        counts[column] = n + 1  # so that it is not chosen again
        left = left[~here]
        order[place - 1] = column
    return order, widths
