"""The interest model: both language models behind one door, as every job and the registry use it.

model = InterestModel.load(folder)
items = model.item_vectors(item_ids, texts, trends)    # what is published to Postgres
interests = model.interests(histories)                 # what the nearline job writes
scores = interests @ items.T
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nearline.core.behaviour import UNKNOWN_KIND, History, nearest_kind
from nearline.core.interest import DIM, LATENT, check_vectors
from nearline.core.transitions import Reading
from nearline.errors import ModelError
from nearline.models.behaviour_model import BehaviourConfig, BehaviourModel
from nearline.models.model_folder import FORMAT, UNREADABLE, incomplete, read_description
from nearline.models.newest_interest import NewestInterest
from nearline.models.text_model import TextModel, use_threads


@dataclass
class InterestModel:
    """A trained text model and behaviour model with the residuals of the items they know.

    Attributes
    ----------
    kinds
        Vocabulary of event kinds; index 0 is the unknown one.
    residual_item_ids, residuals
        Items met in training, and float32 (n, LATENT) what behaviour said about them.
    notes
        Plain values that travel with the model in model.json, such as ``transition_weight``.
    start
        What it was before it learnt the window that choices were made on. Saved with it, and read by `load_start` only.
    """

    text: TextModel
    behaviour: BehaviourModel
    kinds: list[str]
    residual_item_ids: list[str]
    residuals: np.ndarray
    notes: dict[str, Any] = field(default_factory=dict)
    start: InterestModel | None = None

    def __post_init__(self) -> None:
        check_vectors(self.residuals, "residuals.npy", LATENT)
        self._residual_row = {item_id: row for row, item_id in enumerate(self.residual_item_ids)}
        if len(self._residual_row) != len(self.residuals) or self.kinds[:1] != [UNKNOWN_KIND]:
            raise ModelError(
                f"Expected one residual for each of {len(self._residual_row)} items and the kinds to begin with "
                f"{UNKNOWN_KIND!r}, saw {len(self.residuals)} residuals and kinds {self.kinds[:1]}. Fix: train again."
            )
        self.text.eval().requires_grad_(False)
        self.behaviour.eval().requires_grad_(False)
        self._newest = NewestInterest(self.behaviour.state_dict(), self.behaviour.config.as_dict(), self.kinds)

    @property
    def transition_weight(self) -> float:
        """Weight of the transitions in the blend, chosen on the validation window."""
        return float(self.notes.get("transition_weight", 0.0))

    @property
    def reading(self) -> Reading:
        """How its transitions are counted, chosen on the validation window."""
        return Reading(float(self.notes["fading"]), bool(self.notes["near"]))

    @property
    def trained_until(self) -> float:
        """The moment, in seconds since 1970, up to which it has learnt what people did; infinite where not known."""
        return float(self.notes.get("trained_until", float("inf")))

    @property
    def history_length(self) -> int:
        """How many of a person's newest events are read."""
        return self.behaviour.config.history_length

    @classmethod
    def load(cls, folder: str | Path, threads: int | None = None) -> InterestModel:
        """Load a model folder; ``threads``: let torch use at most so many cores from here on.

        Raises
        ------
        ModelError
            If the folder is missing, incomplete or of another format.
        """
        folder = Path(folder)
        if threads is not None:
            use_threads(threads)
        described = read_description(folder)
        try:
            behaviour = BehaviourModel(BehaviourConfig(**described["behaviour"]))
            behaviour.load_state_dict(torch.load(folder / "behaviour.pt", map_location="cpu", weights_only=True))
            ids = json.loads((folder / "residual_item_ids.json").read_text())
            residuals = np.load(folder / "residuals.npy", allow_pickle=False)
        except UNREADABLE as problem:
            raise incomplete(folder, problem) from problem
        text = TextModel.load(folder / "text", described["max_tokens"])
        return cls(text, behaviour, described["kinds"], ids, residuals, described["notes"])

    @classmethod
    def load_start(cls, folder: str | Path) -> InterestModel:
        """Load what the model of a folder was before it learnt the window that choices were made on.

        It knows less, so a later training that starts from it can choose on what came since.

        Raises
        ------
        ModelError
            As `load`; and if it was saved without its start.
        """
        folder, model = Path(folder), cls.load(folder)
        try:
            kept = torch.load(folder / "start.pt", map_location="cpu", weights_only=True)
            behaviour = BehaviourModel(model.behaviour.config)
            behaviour.load_state_dict(kept["behaviour"])
            ids, residuals = kept["residual_item_ids"], kept["residuals"].numpy()
        except UNREADABLE as problem:
            raise incomplete(folder, problem) from problem
        names = {"text_model": "text_model", "kind_weights": "kind_weights", "validated_from": "trained_until"}
        notes = {names[name]: value for name, value in model.notes.items() if name in names}
        return cls(model.text, behaviour, model.kinds, ids, residuals, notes)

    def save(self, folder: str | Path) -> None:
        """Write the folder: complete, or not at all."""
        folder = Path(folder)
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        self.text.save(partial / "text")
        torch.save(self.behaviour.state_dict(), partial / "behaviour.pt")
        np.save(partial / "residuals.npy", self.residuals)
        (partial / "residual_item_ids.json").write_text(json.dumps(self.residual_item_ids))
        if self.start is not None:
            start = {
                "behaviour": self.start.behaviour.state_dict(),
                "residual_item_ids": self.start.residual_item_ids,
                "residuals": torch.from_numpy(self.start.residuals),
            }
            torch.save(start, partial / "start.pt")
        described = {
            "format": FORMAT,
            "dim": DIM,
            "behaviour": self.behaviour.config.as_dict(),
            "max_tokens": self.text.max_tokens,
            "kinds": self.kinds,
            "notes": self.notes,
        }
        (partial / "model.json").write_text(json.dumps(described, indent=1))
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)

    def text_vectors(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of the text model before the projection, float32 (n, text width)."""
        return self.text.encode(texts)

    def residual(self, item_ids: Sequence[str]) -> np.ndarray:
        """What behaviour says about items beyond their text, float32 (n, LATENT); zero for an item never seen."""
        rows = np.fromiter((self._residual_row.get(item_id, -1) for item_id in item_ids), np.int64, len(item_ids))
        found: np.ndarray = np.concatenate([self.residuals, np.zeros((1, LATENT), np.float32)])[rows]
        return found

    def place_queries(self, text_vectors: np.ndarray) -> np.ndarray:
        """Vectors of queries from what they say (n, text width), float32 (n, DIM)."""
        return self._newest.place_texts(text_vectors)

    def place_items(self, item_ids: Sequence[str], text_vectors: np.ndarray, trends: np.ndarray) -> np.ndarray:
        """Vectors of items, float32 (n, DIM), from what they say (n, text width) and how they do (n, TRENDS).

        ``trends`` are of `nearline.core.trends.trends_at`. An item that training never met has no residual: what it
        says is all that is known of it.
        """
        vectors = self.place_queries(text_vectors)
        vectors[:, :LATENT] += self.residual(item_ids)
        vectors[:, LATENT:] = trends
        return vectors

    def item_vectors(self, item_ids: Sequence[str], texts: Sequence[str], trends: np.ndarray) -> np.ndarray:
        """Vectors to publish, float32 (n, DIM). ``texts`` come from `nearline.core.item_text.item_text`."""
        return self.place_items(item_ids, self.text_vectors(texts), trends)

    def query_vectors(self, queries: Sequence[str]) -> np.ndarray:
        """Vectors of what people typed, float32 (n, DIM)."""
        return self.place_queries(self.text_vectors(queries))

    def read_as(self, kind: str, weight: float) -> str:
        """The kind that an event is read as; see `nearline.core.behaviour.nearest_kind`."""
        return nearest_kind(kind, weight, self.notes.get("kind_weights", {}))

    def interests(self, histories: Sequence[History]) -> np.ndarray:
        """Interest after the newest event of each history, float32 (n, DIM); of an empty one a newcomer's."""
        return self._newest.interests(histories)
