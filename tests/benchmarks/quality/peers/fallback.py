"""What a peer shows where it knows nothing: a row with no positive event in its history gets what is popular.

No model of what came before can say anything there, and everybody who runs one shows what is popular. Over how many
days, the validation rows choose, once for a problem and alike for every peer. A peer that is popularity itself keeps
its own list.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.quality.peers.popularity import popularity
from benchmarks.quality.peers.problem import Events, Problem, Rows

EVER = 36_525.0
"""Days: a hundred years stand for all there is."""
WINDOWS = (30.0, 1.0, 7.0, 90.0, 365.0, 1095.0, EVER)
"""Days to choose from; the earliest of equals, so 30 where no validation row is without a history."""


@dataclass(frozen=True)
class Fallback:
    """Popularity of so many days.

    Attributes
    ----------
    days
        Before the newest event that may be learned from.
    tried
        Every window with its NDCG@10 on the validation rows without a history.
    rows
        How many validation rows those are.
    """

    days: float
    tried: list[dict[str, float]] = field(default_factory=list)
    rows: int = 0

    def fill(self, scores: np.ndarray, problem: Problem, events: Events, rows: Rows) -> np.ndarray:
        """Scores, float32 (rows, items), changed in place where a row has no positive event in its history."""
        scores[without_history(rows)] = popularity(events, self.days, problem.has_clock)
        return scores

    def facts(self) -> dict[str, Any]:
        """What scores/NAME.json says of it."""
        return {"days": self.days, "validation_rows": self.rows, "tried": self.tried}


def without_history(rows: Rows) -> np.ndarray:
    """Bool (n,): nothing before this row was liked."""
    return rows.newest(1)[:, 0] < 0


def choose_fallback(problem: Problem) -> Fallback:
    """The window whose list is best for the validation rows without a history."""
    newcomers = problem.only_validation(without_history(problem.validation))
    shape = len(newcomers.validation), problem.inner.items
    tried = []
    for days in WINDOWS:
        listed = popularity(problem.inner, days, problem.has_clock)
        tried.append({"days": days, "ndcg": newcomers.validation_ndcg(np.broadcast_to(listed, shape))})
    best = max(tried, key=lambda entry: entry["ndcg"])
    return Fallback(best["days"], tried, shape[0])
