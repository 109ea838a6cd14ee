"""Mistakes that are not in the catalogue, on which the diagnosis is measured."""

from held_out import meta, objectives, training  # noqa: F401  each enters its own
from held_out.entry import EDITS, backend

__all__ = ["EDITS", "backend"]
