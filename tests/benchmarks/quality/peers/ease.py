"""EASE (Steck 2019, arXiv 1905.03375): one linear item-to-item model in closed form, a hard one to beat.

B = I - P / diag(P) with P = (X'X + lambda I)^-1 and X who met what. Only items with an event take part, so a
catalogue of 20,000 needs an inverse of at most 1.6 GB. A history is weighed by exp(-position / tau) at scoring.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy import linalg, sparse

from benchmarks.quality.peers.cooccurrence import recency_rows
from benchmarks.quality.peers.problem import Events, Problem, Rows

LAST_EVENTS = 200
"""exp(-200 / 64) is 4 %; what is older speaks no more."""


def item_weights(met: sparse.csr_matrix, penalty: float) -> np.ndarray:
    """Return B, float32 (items, items) with a diagonal of 0, of who met what, sparse (users, items).

    Raises
    ------
    ValueError
        If ``penalty`` is too small for a Cholesky factor.
    """
    gram = (met.T @ met).astype(np.float32).toarray(order="F")
    gram[np.diag_indices_from(gram)] += np.float32(penalty)
    factor, status = linalg.lapack.spotrf(gram, lower=False, overwrite_a=True)
    if not status:
        inverse, status = linalg.lapack.spotri(factor, lower=False, overwrite_c=True)
    if status:
        raise ValueError(
            f"penalty: expected one that makes X'X + penalty I invertible, saw {penalty}. Fix: a larger one."
        )
    upper = np.triu(inverse)
    inverse = upper + np.triu(upper, 1).T
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


class Ease:
    """Item weights, and how fast a history fades."""

    LEARNING: ClassVar[dict[str, list[Any]]] = {"penalty": [200.0, 50.0, 500.0, 1000.0]}
    SCORING: ClassVar[dict[str, list[Any]]] = {"tau": [4.0, 1.0, 2.0, 8.0, 16.0, 64.0]}

    def learn(self, problem: Problem, events: Events, settings: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, int]:
        """B of the warm items, their codes, and the size of the catalogue."""
        warm = np.flatnonzero(events.warm)
        liked = events.weight > 0
        user, item = events.user[liked], np.searchsorted(warm, events.item[liked])
        met = sparse.csr_matrix(
            (np.ones(len(user), np.float32), (user, item)), shape=(events.user.max() + 1, len(warm))
        )
        met.data[:] = 1.0  # repeats were added up
        return item_weights(met, settings["penalty"]), warm, events.items

    def score(self, learned: tuple[np.ndarray, np.ndarray, int], rows: Rows, settings: dict[str, Any]) -> np.ndarray:
        """Scores, float32 (n, items); an item never seen scores as low as the lowest."""
        weights, warm, items = learned
        history = recency_rows(rows, items, LAST_EVENTS, settings["tau"])[:, warm].astype(np.float32)
        known = history @ weights
        scores = np.repeat(known.min(axis=1, keepdims=True), items, axis=1)
        scores[:, warm] = known
        return scores
