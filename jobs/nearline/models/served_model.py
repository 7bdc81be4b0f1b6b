"""The interest model as the nearline job uses it: there in a second or two, and reads texts when some come.

The text model takes several seconds to import and load. It is loaded beside the work: what comes before it is there
waits only if there is a search among it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from nearline.core.behaviour import History, nearest_kind
from nearline.core.interest import LATENT
from nearline.models.model_folder import UNREADABLE, incomplete, read_description
from nearline.models.newest_interest import NewestInterest

if TYPE_CHECKING:
    from nearline.models.text_model import TextModel


class ServedModel:
    """A model folder, to be read only; gives the bits that `InterestModel` gives."""

    def __init__(self, folder: Path) -> None:
        """Read it.

        Raises
        ------
        ModelError
            If the folder is missing, incomplete or of another format.
        """
        self.folder = folder
        described = read_description(folder)
        try:
            weights = torch.load(folder / "behaviour.pt", map_location="cpu", weights_only=True)
            self._newest = NewestInterest(weights, described["behaviour"], described["kinds"])
        except UNREADABLE as problem:
            raise incomplete(folder, problem) from problem
        self._max_tokens = int(described["max_tokens"])
        self._kind_weights = described["notes"].get("kind_weights", {})
        self._loading = threading.Lock()

    @property
    def history_length(self) -> int:
        """How many of a person's newest events are read."""
        return self._newest.history_length

    def read_as(self, kind: str, weight: float) -> str:
        """The kind that an event is read as; see `nearline.core.behaviour.nearest_kind`."""
        return nearest_kind(kind, weight, self._kind_weights)

    def interests(self, histories: Sequence[History]) -> np.ndarray:
        """Interest after the newest event of each history, float32 (n, DIM)."""
        return self._newest.interests(histories)

    def query_vectors(self, queries: Sequence[str]) -> np.ndarray:
        """Vectors of what people typed, float32 (n, DIM)."""
        return self._newest.place_texts(self._text.encode(queries))

    def item_vectors(self, item_ids: Sequence[str], texts: Sequence[str], trends: np.ndarray) -> np.ndarray:
        """Vectors of items that training never met, from what they say and how they do (n, TRENDS): (n, DIM)."""
        vectors = self.query_vectors(texts)
        vectors[:, LATENT:] = trends
        return vectors

    def load_text_model(self) -> None:
        """Begin to load the text model in the background."""
        threading.Thread(target=lambda: self._text, name="text model", daemon=True).start()

    def get_ready(self) -> None:
        """Wait until texts can be read too."""
        _ = self._text

    @property
    def _text(self) -> TextModel:
        with self._loading:
            return self._text_model

    @cached_property
    def _text_model(self) -> TextModel:
        from nearline.models.text_model import TextModel

        return TextModel.load(self.folder / "text", self._max_tokens)
