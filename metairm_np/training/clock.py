"""Where the time of training goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

PARTS = ("data", "gradients", "watching", "audits", "evaluation", "figures")


class Clock:
    """Seconds of the wall clock, by part of the work.

    Attributes
    ----------
    seconds : dict of float
        By the names in PARTS.
    """

    def __init__(self):
        self.seconds: dict[str, float] = {}

    @contextmanager
    def on(self, part: str) -> Iterator[None]:
        """Count the time within to a part."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add({part: time.perf_counter() - began})

    def add(self, seconds: dict) -> None:
        """Add seconds by part."""
        for part, more in seconds.items():
            self.seconds[part] = self.seconds.get(part, 0.0) + more

    def rounded(self) -> dict[str, float]:
        """Return the seconds as JSON may have them, in the order of PARTS."""
        return {part: round(self.seconds[part], 3) for part in PARTS if part in self.seconds}

    def split(self) -> str:
        """Return a line with the share of each part, in per cent."""
        total = sum(self.seconds.values()) or 1.0
        shares = [f"{part} {100 * s / total:.0f} %" for part, s in self.rounded().items()]
        return f"time: {', '.join(shares)}, of {total:.1f} s"
