"""RecTools' SASRecModel on a problem: what it is fed, the same loss at less cost, and scores from any history.

Four things differ from ``SASRecModel.fit`` and ``recommend``, and none makes the model weaker:

- A history of more than 50 events is fed as several sessions. RecTools would learn from its newest 51 only.
- The loss is computed where there is something to predict. RecTools computes logits for padding too, and gathers a
  copy of the embedding for every negative; the figures are the same, at a fraction of the time and memory.
- Batches are of similar length, and padding is left out of attention: see `neural_batches`.
- Rows are encoded from their own history. `recommend` gives the same scores for a user with that history.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel
from rectools.models.nn.item_net import IdEmbeddingsItemNet
from rectools.models.nn.transformers.lightning import TransformerLightningModule

from benchmarks.quality.peers.neural_batches import SimilarLengthData
from benchmarks.quality.peers.problem import Events, Rows

SESSION = 50
SEED = 7
CHUNK = 512

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="pytorch_lightning")
warnings.filterwarnings("ignore", module="rectools")
warnings.filterwarnings("ignore", module="pydantic")


class PredictedPositions(TransformerLightningModule):
    """RecTools' training step over the positions that have a target."""

    def get_batch_logits(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Logits (1, v, 1 + negatives), the target's first; or (1, v, items) for the full softmax."""
        item_vectors = self.torch_model.item_model.get_all_embeddings()  # (items, factors)
        there = batch["y"] != 0  # (batch, session)
        sessions = self.torch_model.encode_sessions(batch, item_vectors)[there]  # (v, factors)
        logits = sessions @ item_vectors.T  # (v, items)
        if self._requires_negatives:
            wanted = torch.cat([batch["y"][there][:, None], batch["negatives"][there]], dim=1)  # (v, 1 + negatives)
            logits = logits.gather(1, wanted)
        return logits[None]

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        """Mean loss of the batch."""
        there = batch["y"] != 0
        logits, target = self.get_batch_logits(batch), batch["y"][there]
        if not self._requires_negatives:
            return torch.nn.functional.cross_entropy(logits[0], target)
        loss: torch.Tensor = self.loss_calculator(logits, target[None], batch["yw"][there][None])
        return loss


def sessions(events: Events, most: int = SESSION) -> pd.DataFrame:
    """Positive events as RecTools' table of interactions, long histories cut into sessions.

    Sessions of one history share one event, so that every event but the oldest is predicted exactly once.
    """
    liked = events.only(events.weight > 0)
    count = np.bincount(liked.user) if len(liked) else np.zeros(0, np.int64)
    start = np.concatenate([[0], np.cumsum(count)])
    from_newest = start[liked.user + 1] - 1 - np.arange(len(liked))
    session = from_newest // most
    # The event before a session's oldest is what that one is predicted from: a copy of it belongs to both.
    shared = np.flatnonzero((from_newest % most == 0) & (from_newest > 0))
    row = np.concatenate([np.arange(len(liked)), shared])
    part = np.concatenate([session, session[shared] - 1])
    # An order as the clock: times may tie, and are not looked at.
    table = pd.DataFrame({
        Columns.User: liked.user[row] * (part.max(initial=0) + 1) + part,
        Columns.Item: liked.item[row],
        Columns.Weight: 1.0,
        Columns.Datetime: pd.to_datetime(row, unit="s"),
    })  # fmt: skip
    return table.sort_values([Columns.User, Columns.Datetime], kind="stable", ignore_index=True)


class NeuralModel:
    """One RecTools model that learns some epochs more, and scores."""

    def __init__(self, events: Events, settings: dict[str, Any]) -> None:
        seed_everything(SEED, verbose=False)
        self.items = events.items
        self.dataset = Dataset.construct(sessions(events))
        self.model = SASRecModel(
            session_max_len=SESSION,
            item_net_block_types=(IdEmbeddingsItemNet,),
            data_preparator_type=SimilarLengthData,
            lightning_module_type=PredictedPositions,
            use_key_padding_mask=True,
            **settings,
        )
        self.epochs = 0

    def learn(self, epochs: int) -> None:
        """Go through the sessions ``epochs`` times more."""
        self.model.fit_partial(self.dataset, min_epochs=epochs, max_epochs=epochs)
        self.epochs += epochs

    def codes(self) -> np.ndarray:
        """RecTools' code of each item, int64 (items,); 0, its padding, for an item never learned."""
        external = self.model.data_preparator.item_id_map.external_ids[1:].astype(np.int64)
        codes = np.zeros(self.items, dtype=np.int64)
        codes[external] = np.arange(1, len(external) + 1)
        return codes

    @torch.inference_mode()
    def score(self, rows: Rows) -> np.ndarray:
        """Scores, float32 (n, items); an item never learned scores as low as the row's lowest."""
        codes, network = self.codes(), self.model.torch_model.eval()
        learned = codes > 0
        vectors = network.item_model.get_all_embeddings()  # (1 + learned items, factors)
        scores = np.empty((len(rows), self.items), dtype=np.float32)
        last = last_learned(rows, codes)
        for start in range(0, len(rows), CHUNK):
            batch = {"x": torch.from_numpy(last[start : start + CHUNK])}
            interest = network.encode_sessions(batch, vectors)[:, -1]  # (chunk, factors)
            known = (interest @ vectors.T).numpy()
            part = scores[start : start + CHUNK]
            part[:] = known[:, codes]
            part[:, ~learned] = known[:, 1:].min(axis=1, keepdims=True)
        return scores


def last_learned(rows: Rows, codes: np.ndarray) -> np.ndarray:
    """Codes of the newest positive events with an item that has one, int64 (n, SESSION), oldest first, 0 before them.

    Like `recommend`, which drops unknown items before it takes the newest.
    """
    weights = np.where(codes[rows.items] > 0, rows.weights, -1.0)
    newest = Rows(rows.indptr, rows.items, weights).newest(SESSION)[:, ::-1]
    return np.ascontiguousarray(np.where(newest >= 0, codes[newest], 0))
