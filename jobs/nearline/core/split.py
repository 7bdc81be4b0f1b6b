"""Past and future on one time line for everybody: the "successive" protocol (arXiv 2507.16289)."""

from __future__ import annotations

import numpy as np

from nearline.core.behaviour import Ledger, run_starts


def cut_time(times: np.ndarray, holdout_share: float) -> float:
    """Time that the newest ``holdout_share`` of the events lie at or after. One cut for all people leaks no future.

    >>> cut_time(np.arange(10.0), 0.2)
    8.0
    """
    if not len(times):
        return float("inf")
    ordered = np.sort(times)
    return float(ordered[min(int(np.ceil(len(ordered) * (1.0 - holdout_share) - 1e-9)), len(ordered) - 1)])


def first_interactions(ledger: Ledger) -> np.ndarray:
    """Ascending rows, int64: positive events by which a person met an item for the first time.

    An earlier event of any kind with the item, a dislike too, makes it known, and of several at the same moment one
    counts. Known items are never recommended, so only these rows are worth predicting.
    """
    rows = np.flatnonzero(ledger.item >= 0)
    # Ties in time: a positive event first, so that a first meeting is not hidden by a neutral one of the same second.
    order = rows[np.lexsort((~ledger.positive[rows], ledger.time[rows], ledger.item[rows], ledger.user[rows]))]
    first = order[np.unique(run_starts(ledger.user[order], ledger.item[order]))]
    return np.sort(first[ledger.positive[first]])


def window_rows(ledger: Ledger, start: float, end: float, most: int, seed: int) -> np.ndarray:
    """At most ``most`` first meetings from ``start`` up to ``end``, in seconds: ascending rows, drawn by ``seed``."""
    first = first_interactions(ledger)
    return sample_rows(first[(ledger.time[first] >= start) & (ledger.time[first] < end)], most, seed)


def history_bounds(ledger: Ledger, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start and end (exclusive), int64 each, of the ledger rows strictly before each row's time, same person.

    Events at the row's own moment have no order towards it and are not history.
    """
    return run_starts(ledger.user)[rows], run_starts(ledger.user, ledger.time)[rows]


def sample_rows(rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most ``most`` of the rows, drawn by ``seed``, ascending."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
