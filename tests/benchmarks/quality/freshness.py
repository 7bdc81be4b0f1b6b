"""What staleness costs: NDCG@10 against the age of the user's vector, and against the newest events it misses.

Three ways to serve a vector that has not seen everything: as it is, with transitions just as old ("stale"); with the
transitions of the newest events, as nearline.recommend reads them from the ledger ("read"); and with those folded
into the vector besides (`nearline.core.fold`: "fold").
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from nearline.core.blend import blend, scaled
from nearline.core.fold import Fold, unit_scale
from nearline.core.interest import catalogue_moments
from nearline.core.ranking import gains, rank
from nearline.core.transitions import Transitions
from nearline.models.evaluation import Window, folded, interests_of, transition_view
from nearline.models.interest_model import InterestModel

log = logging.getLogger("nearline.quality")

AGES = {"0": 0.0, "10 s": 10.0, "1 min": 60.0, "5 min": 300.0, "1 h": 3600.0, "6 h": 21600.0, "1 day": 86400.0}
MISSING = (0, 1, 2, 5, 10)
ROWS = 2000
WAYS = ("stale", "read", "fold")

Curve = dict[str, dict[str, float]]


def freshness(
    window: Window,
    trained: np.ndarray,
    model: InterestModel,
    table: Transitions,
    items: np.ndarray,
    queries: np.ndarray,
    seed: int,
    *,
    timed: bool = True,
) -> dict[str, Any]:
    """Curves by age and by missing events: of each way, NDCG@10 on warm targets among ``trained`` items, bool (items,).

    Returns
    -------
    dict
        ``age`` and ``missing``: for each point its NDCG@10 by way, and ``changed``, the share of rows whose vector
        misses anything there; ``missing`` is asked only of people with more than that many events. A curve of no rows
        has no points, nor has that of age where the data know only an order (``timed`` is False).
    """  # fmt: skip
    rows = np.flatnonzero(trained[window.targets] & (window.end > window.start))
    if len(rows) > ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, ROWS, replace=False))
    window = window.part(rows)
    notes = model.notes
    fold = Fold(notes["fold_keep"], notes["fold_gain"], notes["fold_span"])
    view = _View(window, trained, model, table, items, queries, fold)
    now = window.ledger.time[window.rows]
    by_age = {}
    for name, seconds in AGES.items() if timed and len(rows) else ():
        ends = np.array(
            [
                start + np.searchsorted(window.ledger.time[start:end], moment - seconds, side="left")
                for start, end, moment in zip(window.start, window.end, now, strict=True)
            ]
        )
        by_age[name] = view.point(np.arange(len(window)), np.minimum(ends, window.end))
        log.info("freshness: vector of %s ago: %s", name, by_age[name])
    if not len(rows):
        log.info("freshness: nothing to measure, as nobody with a history has a known item to find")
    enough = np.flatnonzero(window.end - window.start > max(MISSING))
    asked = MISSING if len(enough) else ()
    by_missing = {str(missing): view.point(enough, window.end[enough] - missing) for missing in asked}
    log.info("freshness: newest events missing: %s", by_missing or "nobody with so many has a known item to find")
    return {"rows": len(window), "age": by_age, "missing": by_missing, "missing_rows": len(enough)}


@dataclass(frozen=True)
class _View:
    """One window, scored with vectors that know less of it."""

    window: Window
    trained: np.ndarray
    model: InterestModel
    table: Transitions
    items: np.ndarray
    queries: np.ndarray
    fold: Fold

    def point(self, rows: np.ndarray, known_end: np.ndarray) -> dict[str, float]:
        """NDCG@10 by way of some rows whose vectors know the ledger up to ``known_end`` (rows,)."""
        covariance, vectors = catalogue_moments(self.items)[1], np.concatenate([self.items, self.queries])
        found: dict[str, list[np.ndarray]] = {way: [] for way in WAYS}
        for batch in np.array_split(np.arange(len(rows)), max(1, len(rows) // 200)):
            part, ends = self.window.part(rows[batch]), known_end[batch]
            old = part.ending(ends)
            stale = scaled(interests_of(self.model, old, self.items, self.queries), covariance)
            fresh = folded(stale, part, ends, vectors, self.fold, unit_scale(covariance))
            before, after = transition_view(old, self.table), transition_view(part, self.table)
            known = part.known() | ~self.trained
            for way, interests, view in (("stale", stale, before), ("read", stale, after), ("fold", fresh, after)):
                scores = blend(interests @ self.items.T, view, self.model.transition_weight)
                ranks = rank(scores, part.targets, known)
                found[way].append(gains(ranks))
        means = {way: round(float(np.concatenate(parts).mean()), 5) for way, parts in found.items()}
        return {**means, "changed": round(float((known_end < self.window.end[rows]).mean()), 4)}
