"""What trials are called, and what commands have asked for: a plan, by row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

NAME = re.compile(r"(?P<row>\w[\w-]*?)(-setting-(?P<setting>\d{5,}))?-(?P<trial>\d{3,})")
MOST = 100_000  # trials, or settings, that a command may ask for


def name_of(row: str, trial: int, setting: int | None = None) -> str:
    """Return the stem of the names of a trial's files."""
    return f"{row}-{trial:03d}" if setting is None else f"{row}-setting-{setting:05d}-{trial:03d}"


def size_of(asked: dict) -> int:
    """Return how many trials a row of a plan has."""
    return asked["trials"] * (1 if asked["settings"] is None else asked["settings"])


def names_in(plan: dict, row: str) -> Iterator[str]:
    """Yield the names of all trials of a row of a plan, in the order in which they begin."""
    asked = plan[row]
    for trial in range(asked["first"], asked["first"] + asked["trials"]):
        for setting in [None] if asked["settings"] is None else range(asked["settings"]):
            yield name_of(row, trial, setting)


def plan_of(names: Iterable[str]) -> dict:
    """Return the plan that asks for the trials of these names and what lies between them."""
    plan: dict = {}
    for found in filter(None, map(NAME.fullmatch, names)):
        trial, setting = int(found["trial"]), found["setting"]
        row = plan.setdefault(found["row"], {"first": trial, "trials": 1, "settings": None})
        first, end = min(row["first"], trial), max(row["first"] + row["trials"], trial + 1)
        row.update(first=first, trials=min(end - first, MOST))
        if setting is not None:
            row["settings"] = max(row["settings"] or 0, min(int(setting) + 1, MOST))
    return plan


def is_plan(plan: object) -> bool:
    """Return whether something has the form of a plan, and numbers that a command may give."""
    return isinstance(plan, dict) and all(
        isinstance(row, dict)
        and _is_count(row.get("first"), 2**31)
        and _is_count(row.get("trials"), MOST)
        and (row.get("settings") is None or _is_count(row["settings"], MOST))
        for row in plan.values()
    )


def most_of(one: dict, other: dict) -> dict:
    """Return what asks for the trials of both, in a row of a plan."""
    first = min(one["first"], other["first"])
    end = max(asked["first"] + asked["trials"] for asked in (one, other))
    settings = max((one["settings"] or 0, other["settings"] or 0)) or None
    return {"first": first, "trials": min(end - first, MOST), "settings": settings}


def _is_count(value, most):
    return type(value) is int and 0 <= value <= most
