"""What reads like the newest things this person met: frozen MiniLM, the mean of the last N unit vectors, the cosine.

It learns nothing, so it says what the words alone are worth, and it is the only simple peer that knows cold items.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from benchmarks.quality.peers.problem import Events, Problem, Rows


class TextMean:
    """How many of the newest events are averaged."""

    LEARNING: ClassVar[dict[str, list[Any]]] = {}
    SCORING: ClassVar[dict[str, list[Any]]] = {"newest": [1, 5, 10, 25]}

    def learn(self, problem: Problem, events: Events, settings: dict[str, Any]) -> np.ndarray:
        """Unit vectors, float32 (items, width)."""
        length = np.linalg.norm(problem.text_vectors, axis=1, keepdims=True)
        return problem.text_vectors / np.maximum(length, 1e-12)

    def score(self, learned: np.ndarray, rows: Rows, settings: dict[str, Any]) -> np.ndarray:
        """Scores, float32 (n, items); the mean is not scaled, which changes no order within a row."""
        newest = rows.newest(settings["newest"])  # (n, N)
        total = np.zeros((len(rows), learned.shape[1]), dtype=np.float32)
        for column in newest.T:
            total += np.where(column[:, None] >= 0, learned[column], 0.0)
        return total @ learned.T
