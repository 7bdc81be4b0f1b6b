"""Texts that belong together, from a ledger in memory; `nearline.adapters.spark_pairs` has the formulas, in Spark."""

from __future__ import annotations

import numpy as np

from nearline.adapters.spark_pairs import PAIRS_AN_ITEM, SEARCH_EVENTS, SEARCH_MICROSECONDS
from nearline.core.behaviour import Ledger
from nearline.core.transitions import Transitions

Pairs = tuple[list[str], list[str], np.ndarray]


def item_pairs(table: Transitions, item_ids: list[str]) -> Pairs:
    """Each item with its heaviest successors, all items alike: names of both sides, float64 weights."""
    kept = np.arange(len(table)) - np.searchsorted(table.item, table.item) < PAIRS_AN_ITEM
    item, following, weight = table.item[kept], table.next_item[kept], table.weight[kept].astype(np.float64)
    total = np.bincount(table.item, table.weight, minlength=len(item_ids))
    return [item_ids[i] for i in item], [item_ids[i] for i in following], weight / total[item]


def query_pairs(ledger: Ledger) -> Pairs:
    """Each search with what was taken soon after: queries, item ids, float64 counts."""
    found: dict[tuple[int, int], float] = {}
    for row in np.flatnonzero(ledger.item < 0):
        for later in range(row + 1, min(row + 1 + SEARCH_EVENTS, len(ledger))):
            soon = (ledger.time[later] - ledger.time[row]) * 1e6 <= SEARCH_MICROSECONDS
            if ledger.user[later] == ledger.user[row] and soon and ledger.item[later] >= 0 and ledger.weight[later] > 0:
                pair = (int(ledger.query[row]), int(ledger.item[later]))
                found[pair] = found.get(pair, 0.0) + 1.0
    queries, items = [ledger.queries[query] for query, _ in found], [ledger.items[item] for _, item in found]
    return queries, items, np.array(list(found.values()))
