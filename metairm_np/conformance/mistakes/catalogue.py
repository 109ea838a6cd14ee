"""The catalogue of known mistakes, each a change of one equation of a copy of the spec.

A mistake's `edit(s)` sets wrong functions in `s`, a fresh copy of the module `metairm_np.spec`; the
copy is then a backend whose answers are those of an implementation with that mistake. Some mistakes
come in variants: `edit(s, variant)`. Others have a number in them, such as the norm at which a
gradient is clipped: `edit(s, number)`, which the diagnosis fits, beginning with typical values.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from metairm_np.conformance.backends import copy_of_spec

MISTAKES: dict[str, "Mistake"] = {}


@dataclass(frozen=True)
class Mistake:
    """A known mistake: name, cause, remedy, and the equation written wrongly.

    `number` is what the number in it is called, "" if there is none; `variants` are then typical
    values.
    """

    name: str
    cause: str
    remedy: str
    edit: Callable
    variants: tuple = ()
    number: str = ""

    def edits(self):
        """Return the edit of each variant, a function of the copy of the spec."""
        return [self.edit_at(v) for v in self.variants] or [self.edit]

    def edit_at(self, variant):
        """Return the edit of one variant."""
        return lambda s: self.edit(s, variant)

    @cache  # noqa: B019  the catalogue lives as long as the process
    def backends(self):
        """Return the wrong copies of the spec, one for each variant."""
        return [changed_spec(edit) for edit in self.edits()]

    @property
    def of_training(self):
        """Whether it shows in training steps alone."""
        return self.edit.__module__.rpartition(".")[2] in ("optimizers", "training")


def changed_spec(*edits):
    """Return a copy of the spec after some edits."""
    s = copy_of_spec()
    for edit in edits:
        edit(s)
    s.OBJECTIVES = {name: getattr(s, name) for name in s.OBJECTIVES}
    return s


def mistake(name, cause, remedy, variants=(), number=""):
    """Enter the decorated edit into the catalogue."""

    def enter(edit):
        MISTAKES[name] = Mistake(name, cause, remedy, edit, variants, number)
        return edit

    return enter


def wrap(s, name, wrong):
    """Replace function `name` of `s` by `wrong`, which gets the original before the arguments."""
    original = getattr(s, name)
    setattr(s, name, lambda *args, **keywords: wrong(original, *args, **keywords))
