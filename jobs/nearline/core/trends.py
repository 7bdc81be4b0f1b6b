"""How items are doing at a moment: how often people met each for the first time lately, and how new it is.

Log counts over windows of several lengths, so that a weighted sum of them can say "rising": high lately, low before.
Each is standardised over the items that somebody has met by then, as whole shops grow and rest; an item that nobody has
met is a mean one, marked as such, and what it deserves is one number that can be chosen (`UNSEEN`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nearline.core.behaviour import Ledger
from nearline.core.interest import TRENDS
from nearline.core.split import first_interactions

WINDOW_DAYS = (7.0, 30.0, 90.0, 365.0, 1095.0, np.inf)
UNSEEN = len(WINDOW_DAYS)
"""Column that is 1 for an item that nobody has met, else 0."""
NEWNESS = UNSEEN + 1
"""Column that says how new it is: 30 / (30 + days since somebody met it first), standardised."""
DAY = 86400.0
SMALLEST_SPREAD = 1e-3
MOMENTS = 60
TABLE_NUMBERS = 40_000_000
"""A large catalogue is looked at in fewer moments, so that the table stays below 160 MB."""


def trends_at(items: np.ndarray, times: np.ndarray, item_count: int, moment: float) -> np.ndarray:
    """Trends at a moment, float32 (item_count, TRENDS), from first meetings strictly before it.

    Parameters
    ----------
    items, times
        int64 and float64 (n,): item codes and seconds of first meetings, in any order.

    >>> now = trends_at(np.array([0, 0, 1]), np.array([0.0, 99.0, 1.0]) * DAY, 3, 100 * DAY)
    >>> now[:, [0, 5, UNSEEN]].round(2).tolist()
    [[1.0, 1.0, 0.0], [-1.0, -1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    past = times < moment
    items, age = items[past], (moment - times[past]) / DAY
    found = np.zeros((item_count, TRENDS), dtype=np.float32)
    for column, days in enumerate(WINDOW_DAYS):
        found[:, column] = np.log1p(np.bincount(items[age <= days], minlength=item_count))
    oldest = np.full(item_count, -1.0)
    np.maximum.at(oldest, items, age)
    met = oldest >= 0
    found[:, NEWNESS] = 30.0 / (30.0 + oldest)
    if met.any():
        mean, spread = found[met].mean(axis=0), found[met].std(axis=0)
        # One that hardly differs between items says nothing, rather than noise.
        found = np.where(spread > SMALLEST_SPREAD, (found - mean) / np.maximum(spread, SMALLEST_SPREAD), 0.0)
    found[~met] = 0.0
    found[:, UNSEEN] = ~met
    return found.astype(np.float32)


def unmet() -> np.ndarray:
    """Trends of an item that nobody has met, float32 (TRENDS,)."""
    found: np.ndarray = trends_at(np.zeros(0, np.int64), np.zeros(0), 1, 0.0)[0]
    return found


def trends_by_name(item_ids: Sequence[str], known_ids: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Trends of items by name, float32 (n, TRENDS); those of an item that nobody has met where it is not known.

    Parameters
    ----------
    known_ids
        Text (m,), rising, with ``known``, float32 (m, TRENDS).

    >>> trends_by_name(["b", "new"], np.array(["a", "b"]), np.full((2, TRENDS), 0.5))[:, UNSEEN].tolist()
    [0.5, 1.0]
    """
    found = np.tile(unmet(), (len(item_ids), 1))
    if len(known_ids):
        place = np.minimum(np.searchsorted(known_ids, item_ids), len(known_ids) - 1)
        is_known = known_ids[place] == np.asarray(item_ids)
        found[is_known] = known[place[is_known]]
    return found


class TrendHistory:
    """Trends of a training ledger at moments with equally many first meetings between them.

    Attributes
    ----------
    moments
        float64 (m,), rising: seconds at which trends were taken.
    tables
        float32 (m, items, TRENDS).
    """

    def __init__(self, ledger: Ledger, moments: int = MOMENTS) -> None:
        rows, count = first_interactions(ledger), len(ledger.items)
        items, times = ledger.item[rows], ledger.time[rows]
        most = int(np.clip(TABLE_NUMBERS // max(count * TRENDS, 1), 6, moments))
        shares = np.linspace(0.0, 1.0, most + 1)[:-1]
        self.moments = np.unique(np.quantile(times, shares)) if len(times) else np.zeros(1)
        self.tables = np.stack([trends_at(items, times, count, moment) for moment in self.moments])

    def before(self, times: np.ndarray) -> np.ndarray:
        """For each time the number of the last moment that is not after it, int64."""
        found: np.ndarray = np.maximum(np.searchsorted(self.moments, times, side="right") - 1, 0)
        return found


def trends_of(ledger: Ledger, moment: float) -> np.ndarray:
    """Trends of a ledger's items at a moment, float32 (items, TRENDS)."""
    rows = first_interactions(ledger)
    return trends_at(ledger.item[rows], ledger.time[rows], len(ledger.items), moment)
