"""What many people met lately: counts of positive first meetings in the last days before the training ends.

Where times are only an order there are no days: 7 days become the newest 10 % of the events, and 30 days all of them.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from benchmarks.quality.peers.problem import Events, Problem, Rows

DAY = 86_400.0
NEWEST_SHARE = 0.1


def popularity(events: Events, days: float, has_clock: bool) -> np.ndarray:
    """Count of each item, float32 (items,). Equal counts are ordered by the counts of all time."""
    time, item = events.time[events.first], events.item[events.first]
    if not len(time):
        return np.zeros(events.items, dtype=np.float32)
    if has_clock:
        recent = time > time.max() - days * DAY
    else:
        recent = time >= (np.quantile(time, 1.0 - NEWEST_SHARE) if days < 30.0 else time.min())
    count = np.bincount(item[recent], minlength=events.items)
    ever = np.bincount(item, minlength=events.items)
    return (count + ever / (ever.max() + 1.0)).astype(np.float32)


class Popularity:
    """The same list for everybody."""

    LEARNING: ClassVar[dict[str, list[Any]]] = {}
    SCORING: ClassVar[dict[str, list[Any]]] = {}

    def __init__(self, days: float) -> None:
        self.days = days

    def learn(self, problem: Problem, events: Events, settings: dict[str, Any]) -> np.ndarray:
        """Counts, float32 (items,)."""
        return popularity(events, self.days, problem.has_clock)

    def score(self, learned: np.ndarray, rows: Rows, settings: dict[str, Any]) -> np.ndarray:
        """The counts, float32 (n, items), for each row."""
        return np.tile(learned, (len(rows), 1))
