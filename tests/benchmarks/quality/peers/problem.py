"""What a peer sees of a problem: events to learn from, rows to score, and the one figure it may choose settings by.

Every peer reads the same folder (train.npz, validation.npz, test.npz, text_vectors.npy) and nothing else, so that no
peer knows more than another. The targets of the test are not in it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nearline.core.ranking import metrics, rank
from nearline.errors import InputError

CHUNK = 512
"""Rows judged at once: a few copies of (rows, items) are made."""


@dataclass(frozen=True)
class Events:
    """What may be learned from, sorted by user, then time. Row i of each array is one event.

    Attributes
    ----------
    user, item
        int64 (k,): codes.
    time
        float64 (k,): seconds since 1970 UTC, or the order where only that is known.
    weight
        float32 (k,): negative for a dislike.
    first
        bool (k,): positive first meetings of user and item.
    items
        Size of the catalogue.
    """

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    weight: np.ndarray
    first: np.ndarray
    items: int

    def __len__(self) -> int:
        return len(self.user)

    def only(self, chosen: np.ndarray) -> Events:
        """Return the events of a mask, in the same order."""
        columns = (self.user, self.item, self.time, self.weight, self.first)
        return Events(*(column[chosen] for column in columns), self.items)

    @property
    def warm(self) -> np.ndarray:
        """Bool (items,): items with an event."""
        return np.bincount(self.item, minlength=self.items) > 0


@dataclass(frozen=True)
class Rows:
    """What is scored: the history of row i is ``items[indptr[i]:indptr[i + 1]]``, oldest first, before the row's time.

    Attributes
    ----------
    indptr
        int64 (n + 1,).
    items, weights
        int64 and float32 (k,): item codes, and what the event says about liking.
    target
        int64 (n,): the item that came next; None for the test.
    """

    indptr: np.ndarray
    items: np.ndarray
    weights: np.ndarray
    target: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def only(self, chosen: np.ndarray) -> Rows:
        """Return the rows of a mask, with their histories."""
        lengths = np.diff(self.indptr)
        inside = np.repeat(chosen, lengths)
        indptr = np.concatenate([[0], np.cumsum(lengths[chosen])])
        target = None if self.target is None else self.target[chosen]
        return Rows(indptr, self.items[inside], self.weights[inside], target)

    def newest(self, most: int) -> np.ndarray:
        """Items of the newest ``most`` positive events, int64 (n, most), the newest first; -1 where there are fewer."""
        liked = self.weights > 0
        before = np.concatenate([[0], np.cumsum(liked)])
        start, end = before[self.indptr[:-1]], before[self.indptr[1:]]
        place = end[:, None] - 1 - np.arange(most)
        found = np.append(self.items[liked], -1)  # so that -1 reads -1
        return np.where(place >= start[:, None], found[np.maximum(place, -1)], -1)

    def known(self, start: int, stop: int, items: int) -> np.ndarray:
        """Bool (stop - start, items): what each of these rows has met, liked or not."""
        mask = np.zeros((stop - start, items), dtype=bool)
        lengths = np.diff(self.indptr[start : stop + 1])
        mask[np.repeat(np.arange(stop - start), lengths), self.items[self.indptr[start] : self.indptr[stop]]] = True
        return mask


@dataclass(frozen=True)
class Problem:
    """A problem folder in memory.

    Attributes
    ----------
    inner, all
        Events before the validation window, and all that may be learned from.
    validation, test
        The rows to choose by (only those whose target has an event in ``inner``) and the rows to score.
    text_vectors
        float32 (items, 384): frozen vectors of the item texts.
    has_clock
        False where times are only an order: "timed" in problem.json.
    """

    inner: Events
    all: Events
    validation: Rows
    test: Rows
    text_vectors: np.ndarray
    has_clock: bool

    def only_validation(self, chosen: np.ndarray) -> Problem:
        """Return the problem with some of its validation rows, bool (validation rows,)."""
        return replace(self, validation=self.validation.only(chosen))

    def validation_ndcg(self, scores: np.ndarray) -> float:
        """NDCG@10 of scores, float32 (validation rows, items), among warm items that the row had not met.

        Raises
        ------
        InputError
            If the scores are of another shape.
        """
        expected = (len(self.validation), self.inner.items)
        if scores.shape != expected:
            raise InputError(
                f"scores: expected shape {expected}, saw {scores.shape}. Fix: one row each, one column an item."
            )
        cold, target, ranks = ~self.inner.warm, self.validation.target, []
        assert target is not None
        for start in range(0, len(scores), CHUNK):
            stop = min(start + CHUNK, len(scores))
            excluded = self.validation.known(start, stop, self.inner.items) | cold
            ranks.append(rank(scores[start:stop], target[start:stop], excluded))
        return metrics(np.concatenate(ranks), digits=6)["ndcg"] if ranks else 0.0


def read_problem(folder: Path) -> Problem:
    """Read a problem folder.

    Raises
    ------
    InputError
        If a file of it is missing.
    """
    for name in ("problem.json", "train.npz", "validation.npz", "test.npz", "text_vectors.npy"):
        if not (folder / name).is_file():
            raise InputError(f"problem: expected {name} in {folder}, saw none. Fix: write the problem first.")
    text_vectors = np.load(folder / "text_vectors.npy")
    with np.load(folder / "train.npz") as train:
        columns = (train[name] for name in ("user", "item", "time", "weight", "first"))
        events, inner = Events(*columns, len(text_vectors)), train["inner"]
    earlier, validation = events.only(inner), _read_rows(folder / "validation.npz")
    assert validation.target is not None
    return Problem(
        inner=earlier,
        all=events,
        validation=validation.only(earlier.warm[validation.target]),
        test=_read_rows(folder / "test.npz"),
        text_vectors=text_vectors,
        has_clock=bool(json.loads((folder / "problem.json").read_text()).get("timed", True)),
    )


def _read_rows(path: Path) -> Rows:
    with np.load(path) as file:
        target = file["target"] if "target" in file.files else None
        return Rows(file["indptr"], file["items"], file["weights"], target)
