"""Vectors by name, kept in one array: what a job has met of the catalogue, so that it asks for each once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat

import numpy as np

from nearline.core.interest import DIM

MOST = 200_000
"""Vectors that are kept, 100 MB of them; then it begins anew. What a job meets in a minute or two is far less."""


class VectorTable:
    """Grows by `add`; `rows` gives the places of names in ``vectors``, float32 (at least as many, DIM)."""

    def __init__(self, most: int = MOST) -> None:
        self.vectors = np.zeros((1024, DIM), np.float32)
        self._row: dict[str | None, int] = {}  # None is never in it
        self._most = most

    def __len__(self) -> int:
        return len(self._row)

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of ``names`` that are not here, each once, in order; makes room for them where there is none."""
        wanted = set(names)
        new = sorted(wanted - self._row.keys())
        if new and len(self._row) + len(new) > self._most:
            self._row.clear()
            new = sorted(wanted)
        return new

    def add(self, names: Sequence[str], vectors: Sequence[np.ndarray] | np.ndarray) -> None:
        """Keep vectors (DIM,) of names that are not here."""
        start = len(self._row)
        if start + len(names) > len(self.vectors):
            grown = np.zeros((max(2 * len(self.vectors), start + len(names)), DIM), np.float32)
            grown[:start] = self.vectors[:start]
            self.vectors = grown
        for row, (name, vector) in enumerate(zip(names, vectors, strict=True), start=start):
            self._row[name] = row
            self.vectors[row] = vector

    def rows(self, names: Sequence[str | None]) -> np.ndarray:
        """Places of names, int64; -1 for None and for a name that is not here.

        >>> table = VectorTable()
        >>> table.add(["a"], [np.ones(DIM, np.float32)])
        >>> table.rows(["a", None, "b"]).tolist()
        [0, -1, -1]
        """
        return np.fromiter(map(self._row.get, names, repeat(-1)), np.int64, len(names))
