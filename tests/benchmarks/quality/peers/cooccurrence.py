"""What people met soon after what this person met last: directed co-occurrence, the strongest simple peer.

A pair (i, j) counts 0.5^(fading * age / span) / sqrt(distance) when a person first met j within the next 10 first
meetings after i, in both directions where both came at the same moment; age is how long before the last event j was
met, so that nothing fades at 0, and half of it in a third of the time at 3. A history scores j by the sum over its
newest 25 events of exp(-position / tau) c(i, j) / out(i)^a: a = 0 lets popular items speak loudest, a = 1 is P(j | i).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from benchmarks.quality.peers.popularity import popularity
from benchmarks.quality.peers.problem import Events, Problem, Rows
from nearline.core.transitions import fading_weights

WINDOW = 10
LAST_EVENTS = 25
TIE_BREAK = 1e-6
"""Popularity in parts of this orders what follows nothing of the history; it is below any real score."""


def count_pairs(events: Events, fading: float = 0.0, window: int = WINDOW) -> sparse.csr_matrix:
    """Directed counts c(i, j), float64 sparse (items, items), of first meetings."""
    met = events.only(events.first)
    fresh = fading_weights(met.time, fading, met.time.min(initial=np.inf), met.time.max(initial=-np.inf))
    earlier, later, weight = [], [], []
    for distance in range(1, window + 1):
        left, right = slice(0, -distance), slice(distance, None)
        same = met.user[left] == met.user[right]
        tied = same & (met.time[left] == met.time[right])
        for first, second, mask in ((left, right, same), (right, left, tied)):
            earlier.append(met.item[first][mask])
            later.append(met.item[second][mask])
            weight.append(fresh[right][mask] * distance**-0.5)
    entries = (np.concatenate(weight), (np.concatenate(earlier), np.concatenate(later)))
    return sparse.csr_matrix(entries, shape=(events.items, events.items))


def recency_rows(rows: Rows, items: int, most: int, tau: float) -> sparse.csr_matrix:
    """Histories as weights exp(-position / tau), float64 sparse (n, items); position 0 is the newest event."""
    newest = rows.newest(most)
    row, position = np.nonzero(newest >= 0)
    return sparse.csr_matrix((np.exp(-position / tau), (row, newest[row, position])), shape=(len(rows), items))


class Cooccurrence:
    """Counts, how fast they and a history fade, and how loud popular items speak."""

    LEARNING: ClassVar[dict[str, list[Any]]] = {"fading": [0.0, 3.0, 6.0, 12.0, 24.0]}
    SCORING: ClassVar[dict[str, list[Any]]] = {"a": [0.5, 0.0, 1.0], "tau": [4.0, 1.0, 2.0, 8.0]}

    def learn(self, problem: Problem, events: Events, settings: dict[str, Any]) -> tuple[sparse.csr_matrix, np.ndarray]:
        """The counts, and popularity below them."""
        popular = popularity(events, 30.0, problem.has_clock)
        return count_pairs(events, settings["fading"]), TIE_BREAK * popular / max(popular.max(), 1.0)

    def score(self, learned: Any, rows: Rows, settings: dict[str, Any]) -> np.ndarray:
        """Scores, float32 (n, items)."""
        count, popular = learned
        out = np.maximum(np.asarray(count.sum(axis=1)).ravel(), 1e-12)
        following = sparse.diags(out ** -settings["a"]) @ count
        scores = (recency_rows(rows, len(popular), LAST_EVENTS, settings["tau"]) @ following).toarray()
        return (scores + popular).astype(np.float32)
