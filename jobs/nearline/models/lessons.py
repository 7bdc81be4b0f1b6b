"""What the behaviour model is taught: a person's events in stretches, and after each what may come next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from nearline.core.behaviour import Ledger, run_starts
from nearline.core.split import first_interactions
from nearline.core.transitions import fading_weights
from nearline.core.trends import TrendHistory


@dataclass
class Lessons:
    """A ledger's events as the model reads them: rows of one person, and what may come next.

    Attributes
    ----------
    targets, moments, weights
        Of all first meetings the items, int64; the number in ``trends`` of the last moment before each; and how much
        each counts, float32 with a mean of 1: less for old ones where habits fade (`nearline.core.transitions`).
    low, high
        int64 (n,): for each event, the bounds in ``targets`` of what comes next: all first meetings at the next
        moment that has one. Equal bounds: nothing comes next.
    opening_low, opening_high
        The same for what a person takes first of all; equal but at a person's first row.
    starts
        First row of each person.
    """

    ledger: Ledger
    trends: TrendHistory = field(repr=False)
    targets: np.ndarray
    moments: np.ndarray
    weights: np.ndarray
    low: np.ndarray
    high: np.ndarray
    opening_low: np.ndarray
    opening_high: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, ledger: Ledger, fading: float = 0.0) -> Lessons:
        """Prepare a ledger."""
        rows = first_interactions(ledger)
        user_start = run_starts(ledger.user)
        moment_start = run_starts(ledger.user, ledger.time)
        # First row after each event's own moment; rows are sorted by user and time.
        moment_end = np.searchsorted(moment_start, moment_start, side="right")
        # Of several items at one moment none is first: all are what comes next.
        target_end = np.searchsorted(rows, np.searchsorted(moment_start, moment_start[rows], side="right"))
        is_start = user_start == np.arange(len(ledger))

        def bounds(first: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            low = np.searchsorted(rows, first)
            there = (low < len(rows)) & wanted
            there &= ledger.user[np.append(rows, -1)[low]] == ledger.user
            return low, np.where(there, np.append(target_end, 0)[low], low)

        trends = TrendHistory(ledger)
        return cls(
            ledger,
            trends,
            ledger.item[rows],
            trends.before(ledger.time[rows]),
            _weights(ledger.time[rows], fading),
            *bounds(moment_end, np.ones(len(ledger), dtype=bool)),
            *bounds(user_start, is_start),
            np.flatnonzero(is_start),
        )

    def batches(self, length: int, batch: int, random: np.random.Generator) -> Iterator[list[np.ndarray]]:
        """One pass: stretches of at most ``length`` rows, cut at another place each time, similar lengths together."""
        ends = np.append(self.starts[1:], len(self.ledger))
        stretches = []
        for start, end in zip(self.starts, ends, strict=True):
            first = min(int(random.integers(1, length + 1)), end - start) if end - start > length else end - start
            cuts = [start, *range(start + first, end, length), end]
            stretches += [np.arange(a, b) for a, b in pairwise(cuts) if b > a]
        shuffled = [stretches[place] for place in random.permutation(len(stretches))]
        shuffled.sort(key=lambda rows: len(rows) // 8)
        groups = [shuffled[at : at + batch] for at in range(0, len(shuffled), batch)]
        for place in random.permutation(len(groups)):
            yield groups[place]

    def draw(self, random: np.random.Generator) -> Drawn:
        """Draw what to predict in one pass, of all that comes next."""

        def pick(low: np.ndarray, high: np.ndarray) -> np.ndarray:
            chosen = low + np.floor(random.random(len(low)) * (high - low)).astype(np.int64)
            return np.where(high > low, chosen, -1)

        return Drawn(pick(self.opening_low, self.opening_high), pick(self.low, self.high))


def _weights(times: np.ndarray, fading: float) -> np.ndarray:
    weights = fading_weights(times, fading, times.min(initial=np.inf), times.max(initial=-np.inf))
    return (weights / max(weights.mean(), 1e-9)).astype(np.float32) if len(weights) else weights.astype(np.float32)


@dataclass(frozen=True)
class Drawn:
    """For each event the place in `Lessons.targets` of what to predict, before the event and after, or -1; int64."""

    before: np.ndarray
    after: np.ndarray

    def grid(self, rows: list[np.ndarray]) -> np.ndarray:
        """Of stretches, padded: int64 (stretches, 1 + longest), first what comes before any event."""
        found = np.full((len(rows), 1 + max(len(stretch) for stretch in rows)), -1)
        for line, stretch in zip(found, rows, strict=True):
            line[0] = self.before[stretch[0]]
            line[1 : 1 + len(stretch)] = self.after[stretch]
        return found
