"""The space that interests and items share, and the moments of a catalogue in it."""

from __future__ import annotations

import numpy as np

from nearline.errors import ModelError

DIM = 128
"""Width of every interest and item vector; a column type in SQL, so it is no setting."""
TRENDS = 8
"""The last numbers of an item's vector say how it is doing (`nearline.core.trends`), those of an interest how much that
matters to this person. So one inner product serves both, and a newcomer gets what is wanted now."""
LATENT = DIM - TRENDS
"""The first numbers of an item's vector say what it means to people."""


def check_vectors(vectors: np.ndarray, what: str = "vectors", width: int = DIM) -> np.ndarray:
    """Return ``vectors`` as float32 of shape (n, width).

    Raises
    ------
    ModelError
        If the shape is another one or a value is not finite.
    """
    if vectors.ndim != 2 or vectors.shape[1] != width:
        raise ModelError(f"{what}: expected shape (n, {width}), saw {vectors.shape}. Fix: train the model again.")
    # The sum of finite numbers is finite, and taken in a tenth of the time: only where it is not, each is looked at.
    if not np.isfinite(vectors.sum()) and not np.isfinite(vectors).all():
        raise ModelError(f"{what}: expected finite numbers, saw nan or infinity. Fix: train the model again.")
    return np.asarray(vectors, dtype=np.float32)


def catalogue_moments(item_vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (DIM,) and covariance (DIM, DIM) of a catalogue's vectors (n, DIM), both float64.

    With them the mean and the spread of one person's scores over the whole catalogue follow from the interest
    vector alone, so SQL can standardise a score without scoring every item.

    >>> mean, covariance = catalogue_moments(np.eye(DIM, dtype=np.float32))
    >>> mean.shape, covariance.shape
    ((128,), (128, 128))
    """
    exact = np.asarray(item_vectors, dtype=np.float64)
    if not len(exact):
        raise ModelError("Expected at least one item vector, saw none. Fix: load items, then train again.")
    centred = exact - exact.mean(axis=0)
    return exact.mean(axis=0), centred.T @ centred / len(exact)
