"""How good is a list: ranks with ties against the model, and what follows from ranks."""

from __future__ import annotations

import numpy as np


def rank(scores: np.ndarray, targets: np.ndarray, excluded: np.ndarray | None = None) -> np.ndarray:
    """Rank of each row's target, int64 (n,), 1 is best: the number of items scored at least as high.

    Parameters
    ----------
    scores
        (n, m), one column an item. A score that is no number counts as the lowest.
    targets
        int (n,), column of the item that came next.
    excluded
        bool (n, m) or None: items that may not be recommended. A target is never excluded.

    Ties count against the model, so a constant score comes out last and not first.

    >>> rank(np.array([[3.0, 2.0, 2.0, 1.0]]), np.array([2]))
    array([3])
    """
    rows = np.arange(len(scores))
    scores = np.where(np.isnan(scores), -np.inf, scores)
    wins = scores >= scores[rows, targets][:, None]
    if excluded is not None:
        wins &= ~excluded
    wins[rows, targets] = True
    ranks: np.ndarray = wins.sum(axis=1)
    return ranks


def gains(ranks: np.ndarray, k: int = 10) -> np.ndarray:
    """What each row adds to NDCG@k with one relevant item, float64 (n,): 1 / log2(1 + rank) up to rank k, then 0.

    >>> gains(np.array([1, 3, 40])).tolist()
    [1.0, 0.5, 0.0]
    """
    found: np.ndarray = np.where(ranks <= k, 1.0 / np.log2(ranks + 1.0), 0.0)
    return found


def metrics(ranks: np.ndarray, k: int = 10, digits: int = 4) -> dict[str, float]:
    """NDCG@k and HR@k with one relevant item each, and MRR over the whole list, rounded; ``count`` of interactions.

    >>> metrics(np.array([1, 3, 40]))
    {'ndcg': 0.5, 'hr': 0.6667, 'mrr': 0.4528, 'count': 3}
    """
    if not len(ranks):
        return {"ndcg": 0.0, "hr": 0.0, "mrr": 0.0, "count": 0}
    figures = {"ndcg": gains(ranks, k).mean(), "hr": (ranks <= k).mean(), "mrr": (1.0 / ranks).mean()}
    return {**{name: round(float(value), digits) for name, value in figures.items()}, "count": len(ranks)}
