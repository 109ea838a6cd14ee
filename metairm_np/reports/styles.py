"""One colour and one marker for each method, the same in every figure."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

METHODS = {  # by the algorithm's name; all can be told apart by those who see few colours
    "erm": ("#222222", "o"),
    "erm_grey": ("#8c8c8c", "s"),
    "irmv1": ("#0072b2", "D"),
    "mm_rex": ("#cc79a7", "^"),
    "v_rex": ("#009e73", "v"),
    "meta_irm": ("#d55e00", "P"),
}
OTHERS = [  # of other names, in the order in which they come
    ("#56b4e9", "X"),
    ("#e69f00", "*"),
    ("#8c510a", "<"),
    ("#6a3d9a", ">"),
    ("#66a61e", "p"),
    ("#e7298a", "h"),
]
DASHES = ("-", "--", "-.", ":")
LIGHTER, LIGHTEST = 0.3, 0.6  # how far towards white the next line of a method goes, and the last


class Style(NamedTuple):
    """How a line looks: Matplotlib's names of colour, marker and dashes."""

    color: str
    marker: str
    linestyle: str


def styles_of(keys) -> dict:
    """Return a Style for each line.

    Lines of one method have its colour and marker, and differ in lightness and dashes.

    Parameters
    ----------
    keys : iterable of (method, label)
        What lines there are; those that are there twice are one.

    Returns
    -------
    dict of Style
        By (method, label).
    """
    keys = list(dict.fromkeys(keys))
    others = [method for method in dict.fromkeys(m for m, _ in keys) if method not in METHODS]
    looks = METHODS | {name: OTHERS[i % len(OTHERS)] for i, name in enumerate(others)}
    of_method, seen = Counter(method for method, _ in keys), Counter[str]()
    styles = {}
    for method, label in keys:
        number, (color, marker) = seen[method], looks[method]
        lightness = number * min(LIGHTER, LIGHTEST / max(of_method[method] - 1, 1))
        styles[method, label] = Style(
            lighter(color, lightness), marker, DASHES[number % len(DASHES)]
        )
        seen[method] += 1
    return styles


def lighter(color, share):
    """Return a colour, "#rrggbb", moved towards white by a share of the way."""
    parts = [int(color[start : start + 2], 16) for start in (1, 3, 5)]
    return "#" + "".join(f"{round(part + share * (255 - part)):02x}" for part in parts)
