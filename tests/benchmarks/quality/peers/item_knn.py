"""Item-based nearest neighbours: what is met around what this person met last, in either order.

Counts are those of `benchmarks.quality.peers.cooccurrence`, added up over both directions: s(i, j) = c(i, j) + c(j, i).
A history scores j by the sum over its newest 25 events of exp(-position / tau) times the shrunk cosine

    s(i, j) / sqrt((n(i) + shrinkage) * (n(j) + shrinkage)),    n(i) = sum_j s(i, j)

(Sarwar et al. 2001; Linden, Smith and York 2003). It is what Nearline's own transitions may be, with a finer choice.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from benchmarks.quality.peers.cooccurrence import LAST_EVENTS, Cooccurrence, recency_rows
from benchmarks.quality.peers.problem import Rows


class ItemKnn(Cooccurrence):
    """Counts, how fast they and a history fade, and how little rare items say."""

    SCORING: ClassVar[dict[str, list[Any]]] = {"shrinkage": [20.0, 0.0, 5.0, 50.0, 200.0], "tau": [4.0, 1.0, 2.0, 8.0]}

    def score(self, learned: Any, rows: Rows, settings: dict[str, Any]) -> np.ndarray:
        """Scores, float32 (n, items)."""
        count, popular = learned
        both = count + count.T
        least = np.maximum(np.asarray(both.sum(axis=1)).ravel() + settings["shrinkage"], 1e-12) ** -0.5
        near = sparse.diags(least) @ both @ sparse.diags(least)
        scores = (recency_rows(rows, len(popular), LAST_EVENTS, settings["tau"]) @ near).toarray()
        return (scores + popular).astype(np.float32)
