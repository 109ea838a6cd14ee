"""What trials are called, and what commands have asked for: a plan, by row."""

from __future__ import annotations

import re
from collections.abc import Iterable

NAME = re.compile(r"(?P<row>\w[\w-]*?)(-setting-(?P<setting>\d{5,}))?-(?P<trial>\d{3,})")
MANY = 2**31  # more trials or settings than any command asks for


def name_of(row: str, trial: int, setting: int | None = None) -> str:
    """Return the stem of the names of a trial's files."""
    return f"{row}-{trial:03d}" if setting is None else f"{row}-setting-{setting:05d}-{trial:03d}"


def names_in(plan: dict, row: str) -> list[str]:
    """Return the names of all trials of a row of a plan."""
    asked = plan[row]
    settings = [None] if asked["settings"] is None else range(asked["settings"])
    trials = range(asked["first"], asked["first"] + asked["trials"])
    return [name_of(row, trial, setting) for setting in settings for trial in trials]


def plan_of(names: Iterable[str]) -> dict:
    """Return the plan that asks for the trials of these names and what lies between them."""
    plan: dict = {}
    for found in filter(None, map(NAME.fullmatch, names)):
        trial, setting = int(found["trial"]), found["setting"]
        row = plan.setdefault(found["row"], {"first": trial, "trials": 1, "settings": None})
        first, end = min(row["first"], trial), max(row["first"] + row["trials"], trial + 1)
        row.update(first=first, trials=end - first)
        if setting is not None:
            row["settings"] = max(row["settings"] or 0, int(setting) + 1)
    return plan


def is_plan(plan: object) -> bool:
    """Return whether something has the form of a plan, and numbers that a command may give."""
    return isinstance(plan, dict) and all(
        isinstance(row, dict)
        and all(_is_count(row.get(key)) for key in ("first", "trials"))
        and (row.get("settings") is None or _is_count(row["settings"]))
        for row in plan.values()
    )


def _is_count(value):
    return type(value) is int and 0 <= value <= MANY
