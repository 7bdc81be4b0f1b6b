"""What an interest model is trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nearline.core.behaviour import Ledger
from nearline.core.transitions import Reading, Transitions
from nearline.models.text_training import TextPairs

VALIDATION_ROWS = 3000
"""First meetings that a pass is validated on; more cost more than they tell."""


@dataclass(frozen=True)
class TrainingData:
    """What a model is trained on.

    Attributes
    ----------
    item_ids, texts
        The catalogue in the order of the ledger's item codes.
    inner, past
        Bool (n,) each, rows of the ledger: what teaches while choices are made, and all that may be learnt.
    inner_end, end
        The moments after them, in seconds: item trends are taken there.
    validation
        Rows of first meetings to choose by, none of them in ``inner``.
    pairs
        Texts that belong together, from ``inner``.
    inner_transitions
        From ``inner``, by how they are counted.
    digest
        Of items and events, see `identity`.
    """

    item_ids: Sequence[str]
    texts: Sequence[str]
    ledger: Ledger
    inner: np.ndarray
    past: np.ndarray
    inner_end: float
    end: float
    validation: np.ndarray
    pairs: TextPairs
    inner_transitions: Mapping[Reading, Transitions]
    digest: str = ""

    @property
    def kind_weights(self) -> dict[str, float]:
        """What each kind of event says about liking."""
        return dict(zip(self.ledger.kinds, self.ledger.kind_weights, strict=True))

    def identity(self) -> dict[str, Any]:
        """What makes it the same data: a training that was killed goes on only with that."""
        moments = {"inner_end": self.inner_end, "end": self.end}
        return {"digest": self.digest, **moments, "kind_weights": self.kind_weights}


def text_pairs(
    item_ids: Sequence[str],
    texts: Sequence[str],
    item_pairs: tuple[list[str], list[str], np.ndarray],
    query_pairs: tuple[list[str], list[str], np.ndarray],
) -> TextPairs:
    """Bring pairs of items and of query and item together; as a group, each is drawn half of the time."""
    place = {item_id: row for row, item_id in enumerate(item_ids)}
    queries = sorted(set(query_pairs[0]))
    query_place = {query: len(texts) + row for row, query in enumerate(queries)}
    groups = []
    for (left, right, weight), left_place in ((item_pairs, place), (query_pairs, query_place)):
        rows = np.array([(left_place.get(a, -1), place.get(b, -1)) for a, b in zip(left, right, strict=True)])
        known = (rows >= 0).all(axis=1) if len(rows) else np.zeros(0, dtype=bool)
        if known.any():
            groups.append((rows[known], weight[known] / weight[known].sum()))
    both = np.concatenate([rows for rows, _ in groups]) if groups else np.zeros((0, 2), np.int64)
    weights = np.concatenate([weight for _, weight in groups]) if groups else np.zeros(0)
    return TextPairs([*texts, *queries], both[:, 0], both[:, 1], weights)
