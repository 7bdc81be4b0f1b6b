"""iALS (Hu, Koren, Volinsky 2008) by the `implicit` library; a row's factors are solved from its own history.

Rendle et al. (arXiv 2110.14037) show that it needs tuning to be a peer at all, so factors, regularization and alpha
are tuned, and so is how much of a history speaks: interest drifts.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from benchmarks.quality.peers.problem import Events, Problem, Rows

SEED = 7
EVERYTHING = 1_000


class Ials:
    """Factors of users and items, fitted in turn."""

    LEARNING: ClassVar[dict[str, list[Any]]] = {
        "alpha": [40.0, 10.0, 100.0],
        "regularization": [100.0, 30.0, 300.0, 10.0],
        "factors": [128, 256],
        "iterations": [15],
    }
    SCORING: ClassVar[dict[str, list[Any]]] = {"newest": [3, 2, 5, 10, 50, EVERYTHING]}

    def learn(self, problem: Problem, events: Events, settings: dict[str, Any]) -> Any:
        """A fitted model; every met item counts once, as in the paper's preference."""
        from implicit.cpu.als import AlternatingLeastSquares

        liked = events.weight > 0
        user, item = events.user[liked], events.item[liked]
        met = sparse.csr_matrix((np.ones(len(user), np.float32), (user, item)), shape=(user.max() + 1, events.items))
        met.data[:] = 1.0
        names = ("factors", "regularization", "alpha", "iterations")
        model = AlternatingLeastSquares(
            **{name: settings[name] for name in names}, num_threads=1, random_state=SEED, dtype=np.float32
        )
        model.fit(met, show_progress=False)
        return model

    def score(self, learned: Any, rows: Rows, settings: dict[str, Any]) -> np.ndarray:
        """Scores, float32 (n, items)."""
        newest = rows.newest(settings["newest"])
        row, position = np.nonzero(newest >= 0)
        entries = (np.ones(len(row), np.float32), (row, newest[row, position]))
        history = sparse.csr_matrix(entries, shape=(len(rows), len(learned.item_factors)))
        history.data[:] = 1.0
        factors = learned.recalculate_user(np.arange(len(rows)), history)
        return np.asarray(factors @ learned.item_factors.T, dtype=np.float32)
