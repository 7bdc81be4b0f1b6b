"""What people met after an item or around it, and what a person's last events point to.

A pair (i, j) counts when a person first met j within the next 10 first meetings after i, with weight

    0.5^(fading * age / span) / sqrt(distance)

where age is how long before the end of the ledger j was met and span how long the ledger is: habits change, how fast
differs, so the fading (half-lives in the span) is chosen on the validation window. Of two at the same moment none is
first, so they count in both directions. Of these counts c(i, j) there are two readings, and the window chooses:

    next    c(i, j) / sqrt(out(i)),    out(i) = sum_j c(i, j)
    near    s(i, j) / sqrt((n(i) + 20) * (n(j) + 20)),    s(i, j) = c(i, j) + c(j, i),    n(i) = sum_j s(i, j)

What comes next lies between a count (popular items speak loudest) and P(j | i) (rare ones do): it is best where what
is wanted now is popular. What is near is a shrunk cosine, as of item-based collaborative filtering (Sarwar et al. 2001;
Linden, Smith and York 2003), and leaves it to the trends in an item's vector how popular it is: it is best where tastes
differ. The table keeps, for each i, the 100 largest, divided by the largest of all.

The job that fills it counts in Spark; `transition_table` is its twin for small data and for judging a validation
window.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from nearline.core.behaviour import Ledger
from nearline.core.split import first_interactions

WINDOW = 10
SUCCESSORS = 100
LAST_EVENTS = 25
FADINGS = (0.0, 4.0, 16.0)
"""What the validation window chooses from: nothing fades, or half of it in so many parts of the span."""
SHRINKAGE = 20.0
"""Of what is near: about what two people who meet an item add to its counts, where nothing fades."""
RECENCY = 4.0
"""The event at position p, counted from the newest, weighs exp(-p / RECENCY)."""


class Reading(NamedTuple):
    """How pairs are counted and weighed."""

    fading: float = 0.0
    near: bool = False
    """What is met around an item, not what comes next."""


PLAIN = Reading()
READINGS = tuple(Reading(fading, near) for fading, near in product(FADINGS, (False, True)))
"""All that the validation window chooses from."""


@dataclass(frozen=True)
class Transitions:
    """Sparse rows: ``next_item[i]`` follows ``item[i]`` with ``weight[i]``; sorted by item, then falling weight."""

    item: np.ndarray
    next_item: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.item)


def fading_weights(times: np.ndarray, fading: float, start: float, end: float) -> np.ndarray:
    """0.5^(fading * age / span), float64, for moments between the first and the last of a ledger, in seconds.

    >>> fading_weights(np.array([0.0, 50.0, 100.0]), 2.0, 0.0, 100.0).tolist()
    [0.25, 0.5, 1.0]
    """
    weights: np.ndarray = np.exp2(-fading * (end - times) / max(end - start, 1.0))
    return weights


def transition_table(
    ledger: Ledger, reading: Reading = PLAIN, window: int = WINDOW, successors: int = SUCCESSORS
) -> Transitions:
    """Count and normalise the transitions of a ledger, whose items are integer codes."""
    met = ledger.only(first_interactions(ledger))
    fresh = fading_weights(met.time, reading.fading, met.time.min(initial=np.inf), met.time.max(initial=-np.inf))
    pieces = []
    for distance in range(1, window + 1):
        left, right = slice(0, -distance), slice(distance, None)
        kept = met.user[left] == met.user[right]
        tied = kept & (met.time[left] == met.time[right])
        for earlier, later, mask in ((left, right, kept), (right, left, tied)):
            pieces.append((met.item[earlier][mask], met.item[later][mask], fresh[right][mask] * distance**-0.5))
    item, following, count = (np.concatenate(column) for column in zip(*pieces, strict=True))
    if reading.near:
        item, following = np.concatenate([item, following]), np.concatenate([following, item])
        count = np.concatenate([count, count])
    size = max(len(ledger.items), 1)
    keys, place = np.unique(item * size + following, return_inverse=True)
    count = np.bincount(place, weights=count, minlength=len(keys))
    item, following = keys // size, keys % size
    total = np.bincount(item, count, size)
    shrunk = total + SHRINKAGE
    popular = shrunk[item] * shrunk[following] if reading.near else total[item]
    return top_successors(item, following, count / np.sqrt(popular), successors)


def top_successors(item: np.ndarray, next_item: np.ndarray, weight: np.ndarray, most: int = SUCCESSORS) -> Transitions:
    """Sort, keep the ``most`` heaviest successors of each item (equal weights by item code), scale to at most 1."""
    order = np.lexsort((next_item, -weight, item))
    item, next_item, weight = item[order], next_item[order], weight[order]
    place = np.arange(len(item)) - np.searchsorted(item, item)
    kept = place < most
    largest = weight.max(initial=0.0) or 1.0
    return Transitions(item[kept], next_item[kept], (weight[kept] / largest).astype(np.float32))


def transition_scores(
    table: Transitions, histories: list[tuple[np.ndarray, np.ndarray]], item_count: int
) -> np.ndarray:
    """t(item) of `nearline.core.blend`, float32 (n, item_count), each row divided by its maximum (0 where none).

    Parameters
    ----------
    histories
        For each person the codes and kind weights of their item events, oldest first; searches left out.
    """
    starts = np.searchsorted(table.item, np.arange(item_count + 1))
    scores = np.zeros((len(histories), item_count), dtype=np.float32)
    for row, (items, weights) in zip(scores, histories, strict=True):
        newest = zip(items[::-1][:LAST_EVENTS], weights[::-1][:LAST_EVENTS], strict=True)
        for position, (item, weight) in enumerate(newest):
            span = slice(starts[item], starts[item + 1])
            # An item follows another once, so that plain addition to the chosen places is enough.
            row[table.next_item[span]] += np.exp(-position / RECENCY) * max(weight, 0.0) * table.weight[span]
        if row.max(initial=0.0) > 0:
            row /= row.max()
    return scores
