"""Batches of rows of one length: no padding, and what a row becomes does not depend on the rows beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np


def by_same_length(lengths: Sequence[int], most: Callable[[int], int]) -> Iterator[np.ndarray]:
    """Rows of equal length, int64 each, the shortest first; ``most`` says how many go together of a length.

    >>> [rows.tolist() for rows in by_same_length([3, 0, 3, 3], lambda length: 2)]
    [[1], [0, 2], [3]]
    """
    found = np.asarray(lengths, dtype=np.int64)
    for length in np.unique(found).tolist():
        rows, batch = np.flatnonzero(found == length), most(length)
        for start in range(0, len(rows), batch):
            yield rows[start : start + batch]
