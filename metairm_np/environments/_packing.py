"""How an environment keeps its samples without most of their zeros: in groups of blocks.

Its arrays are read-only: nobody can write into their memory.
"""

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
    blocks : tuple of Block
    """

    columns: np.ndarray | slice
    ones: bool
    blocks: tuple[Block, ...]


def locked(array):
    """Return `array`, whose memory is nobody else's, as a view that cannot be made writable."""
    view = array.view()
    view.flags.writeable = False
    while isinstance(array, np.ndarray):
        array.flags.writeable = False
        array = array.base
    return view


def sealed(array):
    """Return a read-only view of `array`, or of a copy if it or what it is a view of is writable.

    Memory that is not NumPy's may be changed by whoever lent it, except that of bytes.
    """
    base = array
    while isinstance(base, np.ndarray) and not base.flags.writeable:
        base = base.base
    return locked(array if base is None or type(base) is bytes else array.copy(order="K"))


def each_array(function, groups):
    """Return the groups with `function` applied to each of their arrays."""
    return tuple(
        Group(
            columns if isinstance(columns, slice) else function(columns),
            ones,
            tuple(Block(*map(function, block)) for block in blocks),
        )
        for columns, ones, blocks in groups
    )


def views(x, y):
    """Return one group that holds all columns, its blocks views of `x` and `y`."""
    rows = np.arange(len(y))
    blocks = [Block(x[part], y[part], rows[part]) for part in _parts(len(y))]
    return each_array(locked, [Group(slice(None), False, blocks)])


def by_channel(grey, channel, n_channels, y):
    """Return a group for each channel that is used, with the images in it."""
    order, widths = staircase(grey != 0)
    groups = []
    for z in range(n_channels):
        rows = np.flatnonzero(channel == z)
        if len(rows):
            rows = rows[np.argsort(widths[rows], kind="stable")]
            columns = order[: widths[rows[-1]]]
            blocks = pack(grey[rows][:, columns], y[rows], rows, widths[rows])
            groups.append(Group(z * grey.shape[1] + columns, True, blocks))
    return each_array(locked, groups)


def unpack(groups, shape):
    """Return the inputs (n, d) of all samples."""
    x = np.zeros(shape, groups[0].blocks[0].x.dtype)
    for columns, ones, blocks in groups:
        columns = np.arange(shape[1])[columns]
        for block in blocks:
            x[block.rows[:, None], columns[: block.x.shape[1] - ones]] = block.x[:, ones:]
    return x


def cast(groups, dtype):
    """Return the groups with inputs of another type."""
    found = []
    for group in groups:
        arrays = consecutive([block.x.shape for block in group.blocks], dtype)
        for array, block in zip(arrays, group.blocks):
            array[...] = block.x
        blocks = [block._replace(x=array) for block, array in zip(group.blocks, arrays)]
        found.append(group._replace(blocks=blocks))
    return each_array(locked, found)


def take(groups, rows, n):
    """Return the groups of some of the n samples; `rows` are their numbers in the new order."""
    place = np.full(n, -1)
    place[rows] = np.arange(len(rows))
    found = []
    for columns, ones, blocks in groups:
        few = [Block(*(part[place[b.rows] >= 0] for part in b)) for b in blocks]
        few = [b for b in few if len(b.y)]
        if few:
            widths = np.repeat([b.x.shape[1] - ones for b in few], [len(b.y) for b in few])
            x = np.zeros((len(widths), widths[-1]), few[0].x.dtype)
            y, old = (np.concatenate(parts) for parts in list(zip(*few))[1:])
            start = 0
            for b in few:
                x[start : start + len(b.y), : b.x.shape[1] - ones] = b.x[:, ones:]
                start += len(b.y)
            found.append(Group(columns, True, pack(x, y, place[old], widths)))
    return each_array(locked, found)


def pack(x, y, rows, widths):
    """Return the blocks of samples, each with a column of ones.

    The samples are in the order of their widths: x[s, widths[s]:] = 0.
    """
    parts = _parts(len(y))
    shapes = [(len(y[part]), 1 + widths[part][-1]) for part in parts]
    arrays = consecutive(shapes, x.dtype)
    for part, array in zip(parts, arrays):
        array[:, 0] = 1
        array[:, 1:] = x[part, : array.shape[1] - 1]
    return [Block(array, y[part], rows[part]) for part, array in zip(parts, arrays)]


def _parts(n):
    return [slice(start, start + ROWS) for start in range(0, n, ROWS)]


def consecutive(shapes, dtype):
    """Return empty arrays that lie one after the other, as large pieces of memory are faster."""
    ends = np.cumsum([m * c for m, c in shapes])
    flat = np.empty(ends[-1], dtype)
    return [flat[end - m * c : end].reshape(m, c) for end, (m, c) in zip(ends, shapes)]


def staircase(filled):
    """Order columns and measure rows so that the filled places make a staircase with few gaps.

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
