"""A shop small enough to know every right answer: two themes, three kinds, four items of each.

Vectors are axes: theme t points along axis t, and each item a little along an axis of its own, so the nearest items
to a person who touched one theme are that theme's, and nothing else has to be believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np

from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import Connection, copy_rows
from nearline.core.behaviour import History
from nearline.core.interest import DIM

THEMES = ("hiking", "baking")
KINDS = ("page", "product", "item")
ITEMS = [f"{theme}-{kind}-{number}" for theme, kind, number in product(THEMES, KINDS, (1, 2, 3, 4))]


class MeanOfHistory:
    """The simplest encoder there is: the recency-weighted mean of the vectors; queries point to the theme they name."""

    history_length = 50

    def get_ready(self) -> None:
        pass

    def read_as(self, kind: str, weight: float) -> str:
        return kind

    def item_vectors(self, item_ids: Sequence[str], texts: Sequence[str], trends: np.ndarray) -> np.ndarray:
        return self.query_vectors(texts)

    def query_vectors(self, queries: Sequence[str]) -> np.ndarray:
        vectors = np.zeros((len(queries), DIM), np.float32)
        for row, query in enumerate(queries):
            for axis, theme in enumerate(THEMES):
                vectors[row, axis] = float(theme in query)
        return vectors

    def interests(self, histories: Sequence[History]) -> np.ndarray:
        return np.stack([self._mean(history) for history in histories]).astype(np.float32)

    def _mean(self, history: History) -> np.ndarray:
        weights = 0.8 ** np.arange(len(history))[::-1]
        return weights @ history.vectors / max(weights.sum(), 1.0)


def vector_of(item_id: str) -> np.ndarray:
    """float32 (DIM,): one along the theme, a tenth along the item's own axis."""
    vector = np.zeros(DIM, np.float32)
    vector[THEMES.index(item_id.split("-")[0])] = 1.0
    vector[len(THEMES) + ITEMS.index(item_id)] = 0.1
    return vector


def open_shop(connection: Connection, version: int = 1, *, live: bool = True) -> InterestLedger:
    """Fill the catalogue, publish ``version`` with vectors and transitions, and return its ledger of interests.

    Not ``live``: everything but the flip.
    """
    for item_id in ITEMS:
        connection.execute(
            "insert into nearline_data.item (item_id, kind, title) values (%s, %s, %s) on conflict do nothing",
            (item_id, item_id.split("-")[1], f"The {item_id.replace('-', ' ')}"),
        )
    connection.execute(
        """insert into nearline_data.model_version (model_version, mlflow_run_id, transition_weight)
           values (%s, 'run', 0.5)""",
        (version,),
    )
    connection.execute("select nearline_data._create_version_partitions(%s)", (version,))
    copy_rows(
        connection,
        "item_embedding",
        ["model_version", "item_id", "kind", "vector"],
        ["int4", "text", "text", "vector"],
        [(version, item_id, item_id.split("-")[1], vector_of(item_id)) for item_id in ITEMS],
    )
    followers = [pair for pair in pairwise(ITEMS) if pair[0].split("-")[0] == pair[1].split("-")[0]]
    copy_rows(
        connection,
        "item_transition",
        ["model_version", "item_id", "next_item_id", "weight"],
        ["int4", "text", "text", "float4"],
        [(version, left, right, 0.9) for left, right in followers],
    )
    connection.execute("select nearline_data._index_version(%s)", (version,))
    ledger = InterestLedger(connection, MeanOfHistory(), version)
    ledger.rebuild()
    if live:
        connection.execute("select nearline_data._promote(%s, 'test', 'it is a test')", (version,))
    return ledger
