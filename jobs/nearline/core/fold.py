"""Bring an interest up to date with events it has not seen, without the model: cheap enough for every query.

    u' = keep^k * u  +  gain * s * sum_p exp(-p / span) * sign(weight_p) * v_p / |v_p|

with the k missing events counted from the newest, p = 0, v_p the meaning of their items or searches, and s the scale
at which the scores of a unit vector spread by 1 on average, as those of u do. It follows from the shape of the interest
(`nearline.models.behaviour_model`): its mean part fades by exp(-1 / span) with an event and takes the new one in; what
the transformer would say of it is missing. What a person dislikes pushes away as much as what they like draws near.
``keep`` and ``gain`` are fitted on the validation window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nearline.core.interest import LATENT

KEEPS = (1.0, 0.9, 0.8, 0.65)
GAINS = (0.0, 0.15, 0.3, 0.5, 0.8)
"""What the validation window chooses from; a gain of 1 is as much as a whole interest."""
MISSING = (1, 2, 5)
"""Numbers of missing events that it is fitted for, together."""
MOST_EVENTS = 30


def unit_scale(covariance: np.ndarray) -> float:
    """s: the inverse of how much the scores of a unit vector spread over a catalogue (DIM, DIM), on average."""
    return float(1.0 / np.sqrt(max(np.trace(covariance) / len(covariance), 1e-12)))


@dataclass(frozen=True)
class Fold:
    """Fitted weights; ``span`` in events."""

    keep: float
    gain: float
    span: float

    def __call__(self, interest: np.ndarray, vectors: np.ndarray, weights: np.ndarray, scale: float) -> np.ndarray:
        """Fold events into one interest (DIM,), whose scores spread by 1; float32 (DIM,).

        ``vectors`` (k, DIM) of the missing events' items or searches and ``weights`` (k,) of their kinds run from the
        oldest to the newest; more than the newest 30 are not read.
        """
        meaning, signs = vectors[-MOST_EVENTS:, :LATENT], np.sign(weights[-MOST_EVENTS:])
        lengths = np.maximum(np.linalg.norm(meaning, axis=1, keepdims=True), 1e-9)
        decay = np.exp(-np.arange(len(meaning))[::-1] / self.span) * signs
        folded = (interest * self.keep ** len(meaning)).astype(np.float32)
        folded[:LATENT] += (self.gain * scale * (decay @ (meaning / lengths))).astype(np.float32)
        return folded
