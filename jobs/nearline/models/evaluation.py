"""Score a ledger's later first meetings by each view of interest, as they are served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nearline.core.behaviour import History, Ledger
from nearline.core.fold import Fold
from nearline.core.split import history_bounds
from nearline.core.transitions import LAST_EVENTS, Transitions, transition_scores
from nearline.models.interest_model import InterestModel

NEW_USER_EVENTS = 3
"""A person with so many earlier events or fewer is new."""
ROWS_A_BATCH = 200
"""Scores are made for so many people at a time, for the whole catalogue."""


@dataclass(frozen=True)
class Window:
    """Test interactions: rows of a ledger, each predicted from what its person did strictly before.

    Attributes
    ----------
    start, end
        Bounds of each row's history in the ledger.
    """

    ledger: Ledger
    rows: np.ndarray
    start: np.ndarray
    end: np.ndarray

    @classmethod
    def of(cls, ledger: Ledger, rows: np.ndarray) -> Window:
        """Find the histories of ``rows``."""
        return cls(ledger, rows, *history_bounds(ledger, rows))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def targets(self) -> np.ndarray:
        """Item codes that came next, int64 (n,)."""
        items: np.ndarray = self.ledger.item[self.rows]
        return items

    def part(self, chosen: slice | np.ndarray) -> Window:
        """Return some of the rows."""
        return Window(self.ledger, self.rows[chosen], self.start[chosen], self.end[chosen])

    def batches(self) -> Iterator[slice]:
        """Places of rows that are scored together, for `part`."""
        for start in range(0, len(self), ROWS_A_BATCH):
            yield slice(start, start + ROWS_A_BATCH)

    def known(self) -> np.ndarray:
        """Bool (n, items): items in each history, which are never recommended."""
        known = np.zeros((len(self), len(self.ledger.items)), dtype=bool)
        for line, start, end in zip(known, self.start, self.end, strict=True):
            items = self.ledger.item[start:end]
            line[items[items >= 0]] = True
        return known

    def is_new(self) -> np.ndarray:
        """Bool (n,): rows of people who are new."""
        new: np.ndarray = self.end - self.start <= NEW_USER_EVENTS
        return new

    def item_histories(self, most: int = LAST_EVENTS) -> list[tuple[np.ndarray, np.ndarray]]:
        """Codes and kind weights of the items among each person's newest ``most`` events, oldest first."""
        found = []
        for start, end in zip(np.maximum(self.start, self.end - most), self.end, strict=True):
            rows = np.arange(start, end)[self.ledger.item[start:end] >= 0]
            found.append((self.ledger.item[rows], self.ledger.weight[rows]))
        return found

    def ending(self, end: np.ndarray) -> Window:
        """Return the same rows, of whose histories only what lies before ``end`` (n,) is known."""
        return Window(self.ledger, self.rows, self.start, np.clip(end, self.start, self.end))

    def codes(self, start: int, end: int) -> np.ndarray:
        """For events of the ledger, int64: the item's code, or for a search that of its query counted on after them.

        A comment's is its item's: its words count when it is in the vector, not when it is folded in.
        """
        item, query = self.ledger.item[start:end], self.ledger.query[start:end]
        found: np.ndarray = np.where(item >= 0, item, len(self.ledger.items) + query)
        return found

    def histories(self, item_vectors: np.ndarray, query_vectors: np.ndarray, most: int) -> list[History]:
        """What the interest model reads: the newest ``most`` events of each person."""
        table = np.concatenate([item_vectors, query_vectors])
        found = []
        for start, end in zip(np.maximum(self.start, self.end - most), self.end, strict=True):
            kinds = [self.ledger.kinds[kind] for kind in self.ledger.kind[start:end]]
            vectors = table[self.codes(start, end)]
            comments = np.flatnonzero((self.ledger.item[start:end] >= 0) & (self.ledger.query[start:end] >= 0))
            vectors[comments] = (vectors[comments] + query_vectors[self.ledger.query[start:end][comments]]) / 2
            found.append(History(vectors, kinds))
        return found


def interests_of(model: InterestModel, window: Window, items: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Interest of each row's person at that moment, float32 (n, DIM)."""
    return model.interests(window.histories(items, queries, model.history_length))


def folded(
    stale: np.ndarray, window: Window, known_end: np.ndarray, vectors: np.ndarray, fold: Fold, scale: float
) -> np.ndarray:
    """Stored interests (n, DIM) that know each history up to ``known_end`` (n,), with the later events folded in.

    ``vectors``: the catalogue's and, after them, the queries' (items + queries, DIM); ``scale`` of
    `nearline.core.fold.unit_scale`.
    """
    found = stale.copy()
    for row, (start, end) in enumerate(zip(known_end, window.end, strict=True)):
        if end > start:
            late, weights = vectors[window.codes(start, end)], window.ledger.weight[start:end]
            found[row] = fold(stale[row], late, weights, scale)
    return found


def transition_view(window: Window, table: Transitions) -> np.ndarray:
    """T of `nearline.core.blend` for each row, float32 (n, items)."""
    return transition_scores(table, window.item_histories(), len(window.ledger.items))
