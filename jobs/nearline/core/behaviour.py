"""What people did, as arrays: the ledger of many people, and one person's newest events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nearline.core.interest import DIM, check_vectors
from nearline.errors import InputError

UNKNOWN_KIND = "unknown"
"""Index 0 of every vocabulary of kinds: an event of a kind that came after the training."""
QUERY_CHARACTERS = 500
"""What is kept of a query or a comment, as in SQL."""


@dataclass(frozen=True)
class History:
    """One person's newest events, oldest first.

    Attributes
    ----------
    vectors
        float32 (t, DIM): the item's vector, the query's for a search, for a comment the mean of its item and its words.
    kinds
        t event kinds such as "view".
    """

    vectors: np.ndarray
    kinds: Sequence[str]

    def __post_init__(self) -> None:
        count = len(self.kinds)
        if self.vectors.shape != (count, DIM):
            raise InputError(
                f"A history needs one vector of {DIM} and one kind an event, saw vectors {self.vectors.shape} "
                f"and {count} kinds."
            )
        check_vectors(self.vectors, "history")

    def __len__(self) -> int:
        return len(self.kinds)

    def newest(self, count: int) -> History:
        """Return the newest ``count`` events."""
        start = len(self) - count
        return self if start <= 0 else History(self.vectors[start:], self.kinds[start:])


@dataclass(frozen=True)
class Ledger:
    """All events of many people, sorted by person and time. Row i of each array is one event.

    Attributes
    ----------
    users, items, queries, kinds
        The names behind the codes; ``queries`` are all texts that people wrote, ``kinds[0]`` is `UNKNOWN_KIND`.
    kind_weights
        What each kind says about liking; the unknown one's is 1.
    user, item, query, kind
        int64 (n,): codes; item or query is -1 where the event has none. A search has only a query, a comment both.
    weight
        float32 (n,): what the event's kind says about liking, negative for a dislike.
    time
        float64 (n,): seconds since 1970 UTC.
    """

    users: Sequence[str]
    items: Sequence[str]
    queries: Sequence[str]
    kinds: Sequence[str]
    kind_weights: Sequence[float]
    user: np.ndarray
    item: np.ndarray
    query: np.ndarray
    kind: np.ndarray
    weight: np.ndarray
    time: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    @property
    def positive(self) -> np.ndarray:
        """Bool (n,): events that speak for an item."""
        return (self.item >= 0) & (self.weight > 0)

    def before(self, time: float) -> Ledger:
        """Return the events strictly before ``time``, with the same names."""
        return self.only(self.time < time)

    def only(self, chosen: np.ndarray) -> Ledger:
        """Return the chosen events (mask or ascending positions), with the same names."""
        columns = (self.user, self.item, self.query, self.kind, self.weight, self.time)
        names = (self.users, self.items, self.queries, self.kinds, self.kind_weights)
        return Ledger(*names, *(column[chosen] for column in columns))


def make_ledger(
    *,
    user_ids: Sequence[str],
    item_ids: Sequence[str | None],
    kinds: Sequence[str],
    texts: Sequence[str | None],
    times: np.ndarray,
    catalogue: Sequence[str],
    kind_weights: Mapping[str, float],
    event_ids: Sequence[str] | None = None,
) -> Ledger:
    """Code and sort events. Rows in any order give the same ledger; ties in time are sorted by event id, as in SQL.

    Parameters
    ----------
    user_ids, item_ids, kinds, texts
        n values; a text without an item is a query. An event of an item outside the catalogue, and one with
        neither item nor text, tells the model nothing and is left out.
    times
        float64 (n,), seconds since 1970 UTC.
    catalogue
        Every item id, in the order of the item codes.
    kind_weights
        Weight of each kind; a kind not listed weighs 1.
    """
    item_code = {name: code for code, name in enumerate(catalogue)}
    vocabulary = [UNKNOWN_KIND, *sorted(set(kind_weights) - {UNKNOWN_KIND})]
    kind_code = {name: code for code, name in enumerate(vocabulary)}
    query_texts = [
        text[:QUERY_CHARACTERS] if text and text.strip() and (item_id is None or item_id in item_code) else None
        for item_id, text in zip(item_ids, texts, strict=True)
    ]
    users = sorted(set(user_ids))
    queries = sorted({text for text in query_texts if text is not None})
    user_code = {name: code for code, name in enumerate(users)}
    query_code = {name: code for code, name in enumerate(queries)}

    user = np.fromiter((user_code[name] for name in user_ids), np.int64, len(user_ids))
    item = np.fromiter((-1 if name is None else item_code.get(name, -1) for name in item_ids), np.int64, len(user))
    query = np.fromiter((-1 if text is None else query_code[text] for text in query_texts), np.int64, len(user))
    kind = np.fromiter((kind_code.get(name, 0) for name in kinds), np.int64, len(user))
    weight = np.fromiter((kind_weights.get(name, 1.0) for name in kinds), np.float32, len(user))
    time = np.asarray(times, dtype=np.float64)
    tie = np.zeros(len(user), np.int64)
    if event_ids is not None:
        # As objects: numpy's own text gives every one the room of the longest, and callers choose their ids.
        tie = np.unique(np.array(event_ids, dtype=object), return_inverse=True)[1]
    order = np.lexsort((kind, query, item, tie, time, user))
    order = order[(item[order] >= 0) | (query[order] >= 0)]
    weights = [float(kind_weights.get(name, 1.0)) for name in vocabulary]
    columns = (user, item, query, kind, weight, time)
    return Ledger(users, list(catalogue), queries, vocabulary, weights, *(column[order] for column in columns))


def nearest_kind(kind: str, weight: float, known: Mapping[str, float]) -> str:
    """The kind that an event is read as: its own, or for one that is new the known kind of its sign and nearest weight.

    So a new kind of dislike pushes away before the next training.

    >>> known = {UNKNOWN_KIND: 1.0, "view": 1.0, "like": 3.0, "hide": -3.0}
    >>> nearest_kind("like", 3.0, known), nearest_kind("ban", -9.0, known), nearest_kind("wink", 2.5, known)
    ('like', 'hide', 'like')
    """
    alike = {name: of for name, of in known.items() if name != UNKNOWN_KIND and (of < 0) == (weight < 0)}
    if kind in known or not alike:
        return kind
    return min(sorted(alike), key=lambda name: abs(alike[name] - weight))


def run_starts(*columns: np.ndarray) -> np.ndarray:
    """For each row, int64 (n,): the first row of its run of rows that are equal in all sorted ``columns``.

    >>> run_starts(np.array([0, 0, 1, 1]), np.array([5, 6, 6, 6]))
    array([0, 1, 2, 2])
    """
    rows = np.arange(len(columns[0]))
    new = np.ones(len(rows), dtype=bool)
    new[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return np.maximum.accumulate(np.where(new, rows, 0)) if len(rows) else rows
