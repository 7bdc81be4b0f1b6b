"""How two views of interest become one score; the same formula is served in SQL by nearline.recommend.

z(item) = (<u, v_item> - <u, m>) / sqrt(u' C u)       m, C: mean and covariance of the catalogue's vectors
t(item) = sum over the items among the newest 25 events, position counting those, of
          exp(-position / 4) * max(kind weight, 0) * w(event's item -> item), divided by its maximum over items
score(item) = z(item) + transition_weight * t(item)
"""

from __future__ import annotations

import numpy as np

from nearline.core.interest import catalogue_moments

TRANSITION_WEIGHTS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""What the validation window chooses from."""
SMALLEST_SPREAD = 1e-9
"""Below this every item scores alike: z is 0 rather than noise."""
Moments = tuple[np.ndarray, np.ndarray]


def score_spread(interests: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """How much the scores of interests (n, DIM) spread over a catalogue of that covariance, float64 (n, 1)."""
    exact = np.asarray(interests, dtype=np.float64)
    # One row a product: a row gives the same bits whatever stands beside it.
    variance = ((exact[:, None, :] @ covariance)[:, 0] * exact).sum(axis=1)
    spread: np.ndarray = np.sqrt(np.maximum(variance, 0.0))[:, None]
    return spread


def scaled(interests: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Interests (n, DIM) as they are stored, float32: their scores spread by 1; one without any spread is 0."""
    spread = score_spread(interests, covariance)
    found: np.ndarray = np.divide(interests, spread, out=np.zeros(interests.shape), where=spread > SMALLEST_SPREAD)
    return found.astype(np.float32)


def standard_scores(interests: np.ndarray, item_vectors: np.ndarray, moments: Moments | None = None) -> np.ndarray:
    """z, float32 (n, m): scores of interests (n, DIM) for items (m, DIM), mean 0 and spread 1 over the catalogue.

    ``moments`` of `nearline.core.interest.catalogue_moments`, where they are known already.
    """
    mean, covariance = moments or catalogue_moments(item_vectors)
    spread = score_spread(interests, covariance)
    z: np.ndarray = np.asarray(interests @ item_vectors.T, dtype=np.float32)
    z -= (interests @ mean).astype(np.float32)[:, None]
    z /= np.where(spread > SMALLEST_SPREAD, spread, np.inf).astype(np.float32)
    return z


def blend(z: np.ndarray, t: np.ndarray, transition_weight: float) -> np.ndarray:
    """Z + transition_weight * t, each (n, m)."""
    return z + np.float32(transition_weight) * t
