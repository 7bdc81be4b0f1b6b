"""Whom the lists favour: how much of the catalogue they show, how evenly, and how popular it was."""

from __future__ import annotations

import numpy as np

from benchmarks.quality.bootstrap import Estimate, People, around

RESAMPLES = 200


def shown(items: np.ndarray, item_count: int, weights: np.ndarray | None = None) -> np.ndarray:
    """How often each item is in the lists, float64 (item_count,).

    Parameters
    ----------
    items
        int (n, k), -1 where a list is shorter.
    weights
        float (n,): how often each list counts; None: once.
    """
    each = np.ones(len(items)) if weights is None else weights
    return np.bincount((items + 1).ravel(), np.repeat(each, items.shape[1]), item_count + 1)[1:]


def coverage(counts: np.ndarray) -> float:
    """Share of the candidates that anybody was shown."""
    return float((counts > 0).mean()) if len(counts) else 0.0


def gini(counts: np.ndarray) -> float:
    """Gini coefficient: 0 when all candidates are shown equally often, towards 1 when one takes it all.

    >>> gini(np.array([1.0, 1.0, 1.0])), gini(np.array([0.0, 0.0, 0.0, 3.0]))
    (0.0, 0.75)
    """
    total = counts.sum()
    if not total:
        return 0.0
    place = np.arange(1, len(counts) + 1)
    return float(((2 * place - len(counts) - 1) * np.sort(counts)).sum() / (len(counts) * total))


def exposure(items: np.ndarray, candidates: np.ndarray, people: People) -> dict[str, Estimate]:
    """Coverage and Gini coefficient of lists (n, k) over ``candidates``, bool (items,)."""
    counts = shown(items, len(candidates))[candidates]
    samples = []
    for drawn in people.drawn[:RESAMPLES]:
        again = shown(items, len(candidates), drawn[people.code])[candidates]
        samples.append((coverage(again), gini(again)))
    spread = np.array(samples).reshape(-1, 2)
    return {
        "coverage": around(coverage(counts), spread[:, 0]),
        "gini": around(gini(counts), spread[:, 1]),
    }


def popularity_lift(items: np.ndarray, targets: np.ndarray, popularity: np.ndarray, people: People) -> Estimate | None:
    """How much more popular the lists are than what people went on to take: their mean popularity, in parts, less 1.

    The measure of Abdollahpouri and others (arXiv 2008.09273), with what was taken next in place of the profile.
    Popularity counts people before the cut, so there is none where all targets are new: None.
    """
    counts = np.append(popularity, 0.0)[items].sum(axis=1) / np.maximum((items >= 0).sum(axis=1), 1)
    return people.ratio(counts, popularity[targets].astype(np.float64), less=1.0)
