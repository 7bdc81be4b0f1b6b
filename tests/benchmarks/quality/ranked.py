"""Ranks and top lists of a model's scores, read a few rows at a time.

Ties are against the model: a target comes after everything that is scored as high, a constant score comes out last.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.quality.problem import Candidates, Problem
from nearline.core import ranking
from nearline.errors import InputError

DEPTH = 100
"""Length of the lists that are kept."""
CUTOFF = 10
ROWS_A_BATCH = 250
NO_ITEM = -1
LOWEST = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Ranked:
    """What became of each test row.

    Attributes
    ----------
    ranks
        int64 (n,): place of the target, 1 is best; 0 where the target is no candidate.
    items, scores
        (n, DEPTH): the best candidates, int32 and float32; `NO_ITEM` and NaN where there are fewer, or none as the
        target is no candidate.
    """

    ranks: np.ndarray
    items: np.ndarray
    scores: np.ndarray

    def gains(self) -> dict[str, np.ndarray]:
        """NDCG@10, HR@10 and MRR@100 of each row, float64 (n,): what is below the kept list counts nothing."""
        asked = self.ranks > 0
        ranks = np.maximum(self.ranks, 1)
        hit = asked & (ranks <= CUTOFF)
        return {
            "ndcg": np.where(asked, ranking.gains(ranks, CUTOFF), 0.0),
            "hr": hit.astype(np.float64),
            "mrr": np.where(asked & (ranks <= DEPTH), 1.0 / ranks, 0.0),
        }


def rank_scores(path: Path, problem: Problem) -> dict[Candidates, Ranked]:
    """Rank the test rows among the catalogue, and those with a trained target among the trained items.

    Parameters
    ----------
    path
        A .npy file, float32 (test rows, items).

    Raises
    ------
    InputError
        When it has another shape or type.
    """
    scores = np.load(path, mmap_mode="r", allow_pickle=False)
    expected = (len(problem.test), len(problem.ledger.items))
    if scores.shape != expected or scores.dtype != np.float32:
        raise InputError(
            f"{path}: expected float32 {expected}, one row a test event and one column an item, saw {scores.dtype} "
            f"{scores.shape}. Fix: make the scores again (--again)."
        )
    parts: dict[Candidates, list[Ranked]] = {"catalogue": [], "trained": []}
    for start in range(0, len(problem.test), ROWS_A_BATCH):
        part = problem.test.part(slice(start, start + ROWS_A_BATCH))
        values = np.asarray(scores[start : start + ROWS_A_BATCH])
        known, targets = part.known(), part.targets
        parts["catalogue"].append(rank_rows(values, targets, known))
        warm = problem.trained[targets]
        found = rank_rows(values[warm], targets[warm], known[warm] | ~problem.trained)
        parts["trained"].append(_spread(found, warm))
    return {
        name: Ranked(*(np.concatenate([getattr(one, column) for one in found]) for column in Ranked.__annotations__))
        for name, found in parts.items()
    }


def rank_rows(scores: np.ndarray, targets: np.ndarray, excluded: np.ndarray, depth: int = DEPTH) -> Ranked:
    """Rank some rows at once.

    Parameters
    ----------
    scores
        float32 (n, m). No number counts as the lowest.
    targets
        int (n,), never excluded.
    excluded
        bool (n, m): no candidates.

    >>> lists = rank_rows(np.float32([[3, 2, 2, 1]]), np.array([1]), np.array([[True, False, False, False]]), 3)
    >>> lists.ranks, lists.items
    (array([2]), array([[2, 1, 3]], dtype=int32))
    """
    width = scores.shape[1]
    keys = _order_keys(scores, targets)
    keys[excluded] = LOWEST
    depth = min(depth, width)
    best = np.argpartition(keys, width - depth, axis=1)[:, width - depth :]
    order = np.argsort(np.take_along_axis(keys, best, axis=1), axis=1)[:, ::-1]
    best = np.take_along_axis(best, order, axis=1)
    gone = np.take_along_axis(keys, best, axis=1) == LOWEST
    kept = np.where(gone, np.nan, np.take_along_axis(scores, best, axis=1)).astype(np.float32)
    return Ranked(ranking.rank(scores, targets, excluded), np.where(gone, NO_ITEM, best).astype(np.int32), kept)


def _order_keys(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """One integer for each score that sorts as it does, int64 (n, m); equal scores by column, the target last."""
    values = np.where(np.isnan(scores), -np.inf, scores).astype(np.float32) + np.float32(0.0)  # -0.0 becomes 0.0
    bits = values.view(np.int32)
    # IEEE 754: positive floats sort as their bits do, negative ones the other way round.
    keys = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64) << 32
    place = np.broadcast_to(np.arange(scores.shape[1], 0, -1), keys.shape).copy()
    place[np.arange(len(keys)), targets] = 0
    return keys + place


def _spread(found: Ranked, chosen: np.ndarray) -> Ranked:
    """Put the rows back to where they came from."""
    shape = (len(chosen), found.items.shape[1])
    ranks, items = np.zeros(len(chosen), np.int64), np.full(shape, NO_ITEM, np.int32)
    scores = np.full(shape, np.nan, np.float32)
    ranks[chosen], items[chosen], scores[chosen] = found.ranks, found.items, found.scores
    return Ranked(ranks, items, scores)
