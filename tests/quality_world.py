"""A small ledger with ties in time, dislikes, repeats and searches, for tests of the quality benchmark."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.quality.data import QualityData
from nearline.core.behaviour import Ledger, make_ledger

KINDS = {"view": 1.0, "purchase": 5.0, "dislike": -3.0, "search": 1.0}
ITEMS = 60
MINUTE = 60.0


def random_ledger(people: int = 50, events: int = 40, seed: int = 0) -> Ledger:
    """People whose events often share a minute; late items come into being only near the end."""
    random = np.random.default_rng(seed)
    count = people * events
    times = np.sort(random.integers(0, 1 + count // 10, count)) * MINUTE
    # Items appear one after another, so that some are met only after any cut.
    items = (random.random(count) ** 2 * (20 + (ITEMS - 20) * np.arange(count) / count)).astype(int)
    kinds = random.choice(list(KINDS), count, p=[0.6, 0.2, 0.1, 0.1])
    users = random.integers(0, people, count)
    search = kinds == "search"
    return make_ledger(
        event_ids=[f"{n:05d}" for n in random.permutation(count)],
        user_ids=[f"u{user:02d}" for user in users],
        item_ids=[None if s else f"i{item:02d}" for s, item in zip(search, items, strict=True)],
        kinds=kinds.tolist(),
        texts=["something" if s else None for s in search],
        times=times,
        catalogue=[f"i{n:02d}" for n in range(ITEMS)],
        kind_weights=KINDS,
    )


def as_data(ledger: Ledger) -> QualityData:
    """The ledger as if it had been read from a folder."""
    items = list(ledger.items)
    return QualityData("world", items, items, ledger, timed=True, digest="of nothing", rejected=0)


def shuffled_from(ledger: Ledger, chosen: np.ndarray, seed: int = 1) -> Ledger:
    """What happened in the chosen rows (bool) dealt anew among them; who and when stay."""
    rows = np.flatnonzero(chosen)
    dealt = np.random.default_rng(seed).permutation(rows)
    columns = {name: getattr(ledger, name).copy() for name in ("item", "query", "kind", "weight")}
    for column in columns.values():
        column[rows] = column[dealt]
    return replace(ledger, **columns)
