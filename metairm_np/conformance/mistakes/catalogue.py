"""The catalogue of known mistakes, each a change of one equation of a copy of the spec.

A mistake's `edit(s)` sets wrong functions in `s`, a fresh copy of the module `metairm_np.spec`; the
copy is then a backend whose answers are those of an implementation with that mistake. Some mistakes
come in variants: `edit(s, variant)`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from metairm_np.conformance.backends import copy_of_spec

MISTAKES: dict[str, "Mistake"] = {}


@dataclass(frozen=True)
class Mistake:
    """A known mistake: name, cause, remedy, and the equation written wrongly."""

    name: str
    cause: str
    remedy: str
    edit: Callable
    variants: tuple = ()

    def edits(self):
        """Return the edit of each variant, a function of the copy of the spec."""
        variants = [lambda s, v=v: self.edit(s, v) for v in self.variants]
        return variants or [self.edit]

    @cache  # noqa: B019  the catalogue lives as long as the process
    def backends(self):
        """Return the wrong copies of the spec, one for each variant."""
        return [changed_spec(edit) for edit in self.edits()]


def changed_spec(*edits):
    """Return a copy of the spec after some edits."""
    s = copy_of_spec()
    for edit in edits:
        edit(s)
    s.OBJECTIVES = {name: getattr(s, name) for name in s.OBJECTIVES}
    return s


def mistake(name, cause, remedy, variants=()):
    """Enter the decorated edit into the catalogue."""

    def enter(edit):
        MISTAKES[name] = Mistake(name, cause, remedy, edit, variants)
        return edit

    return enter


def wrap(s, name, wrong):
    """Replace function `name` of `s` by `wrong`, which gets the original before the arguments."""
    original = getattr(s, name)
    setattr(s, name, lambda *args, **keywords: wrong(original, *args, **keywords))
