"""Where several lines of a panel lie so close that they need one of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from metairm_np.reports.panels import Panel

NEAR = 8  # per cent points within which lines lie close
CROWD = 3  # lines that are too many so close to each other
WIDEST = 40  # per cent points that still are a close-up


def close_up(panel: Panel) -> Panel | None:
    """Return a panel of accuracies again, its axis close around lines that are hard to tell apart.

    Lines are if at more than half of the places there are three or more of them within 8 points.

    Parameters
    ----------
    panel : Panel

    Returns
    -------
    Panel or None
        None if it needs no close-up.
    """
    means = [
        {place: np.mean(values) for place, values in zip(line.places, line.values) if values}
        for line in panel.lines
    ]
    places = dict.fromkeys(place for line in panel.lines for place in line.places)
    if panel.ylim != (0, 100) or not places:
        return None
    times = np.zeros(len(means))  # that each line is in a crowd
    for place in places:
        here = np.array([line.get(place, np.nan) for line in means])
        near = np.abs(here[:, None] - here) <= NEAR / 2  # around each line
        times += near[near.sum(axis=1) >= CROWD].any(axis=0)
    crowd = [line for line, often in zip(panel.lines, times) if often > len(places) / 2]
    ends = [
        np.mean(values) + sign * np.std(values)
        for line in crowd
        for values in line.values
        if values
        for sign in (-1, 1)
    ]
    if len(crowd) < CROWD or max(ends) - min(ends) > WIDEST:
        return None
    title = f"{panel.title}, closer" if panel.title else "closer"
    margin = max(0.05 * (max(ends) - min(ends)), 0.5)
    return replace(panel, title=title, ylim=(min(ends) - margin, max(ends) + margin))
