"""What people did, from Postgres to the arrays that the interest model reads."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from psycopg.types.json import Jsonb

from nearline.adapters.postgres import Connection, queries
from nearline.core.behaviour import History
from nearline.core.interest import DIM
from nearline.core.position import Position

log = logging.getLogger("nearline.interests")

VECTOR_BYTES = 4 + 4 * DIM
"""As pgvector sends one: int16 length, int16 unused, then float4 in network order."""


class Encoder(Protocol):
    """What is needed of an interest model; `nearline.models.interest_model.InterestModel` is one."""

    @property
    def history_length(self) -> int:
        """How many of a person's newest events are read."""

    def get_ready(self) -> None:
        """Load all that is still to be loaded."""

    def read_as(self, kind: str, weight: float) -> str:
        """Name of the kind that the model reads an event of a kind as, which may be new to it."""

    def query_vectors(self, queries: Sequence[str]) -> np.ndarray:
        """Encode searches and comments: float32 (n, DIM)."""

    def item_vectors(self, item_ids: Sequence[str], texts: Sequence[str], trends: np.ndarray) -> np.ndarray:
        """Vectors of items from what they say and how they do (n, TRENDS): float32 (n, DIM)."""

    def interests(self, histories: Sequence[History]) -> np.ndarray:
        """Encode histories, also empty ones: float32 (n, DIM)."""


@dataclass(frozen=True)
class People:
    """Some people with their newest events, and those of whom the model can read nothing."""

    names: list[str]
    histories: list[History]
    without: list[str]


class HistoryReader:
    """Reads the newest events of people as of a position, and encodes the texts among them that are new."""

    def __init__(self, connection: Connection, model: Encoder, model_version: int) -> None:
        self.connection = connection
        self.model = model
        self.model_version = model_version
        self._sql = queries("refresh")

    def read(self, positions: Mapping[str, Position]) -> People:
        """Read the people that ``positions`` names, each as of their position.

        An event of an item without a vector is left out, and waits: see `take_arrived` of the refresh.
        """
        rows = self._rows(positions)
        unread = {row[0]: row[4] for row in rows if row[4]}
        if unread:
            self._encode({text for texts in unread.values() for text in texts})
            again = {row[0]: row for row in self._rows({user: positions[user] for user in unread})}
            rows = [again.get(row[0], row) for row in rows]
        waiting = [(item, row[0]) for row in rows if row[5] for item in row[5]]
        if waiting:
            items, users = zip(*waiting, strict=True)
            self.connection.execute(
                self._sql["save_waiting"],
                {"model_version": self.model_version, "items": list(items), "users": list(users)},
            )
        names = self._kind_names
        found = {row[0]: _history(row[1], row[2], row[3], names) for row in rows if row[1]}
        return People(list(found), list(found.values()), sorted(set(positions) - set(found)))

    def _rows(self, positions: Mapping[str, Position]) -> list[tuple[Any, ...]]:
        kinds = self.connection.execute(self._sql["kinds"]).fetchall()
        self._kind_names = [self.model.read_as(kind, weight) for kind, weight in kinds]
        self.connection.execute(self._sql["plan_histories"])
        with self.connection.cursor(binary=True) as cursor:
            return cursor.execute(
                self._sql["histories"],
                {
                    "model_version": self.model_version,
                    "users": list(positions),
                    "positions": [str(position) for position in positions.values()],
                    "kinds": [kind for kind, _ in kinds],
                    "history_length": self.model.history_length,
                },
            ).fetchall()

    def _encode(self, texts: set[str]) -> None:
        """Encode searches and comments that were never met before, all at once, and remember them.

        One that the model fails on is kept out of the others' way: it means nothing (zeros), and is set aside with the
        reason in nearline_data.rejected_row.
        """
        new = sorted(texts)
        try:
            vectors = self.model.query_vectors(new)
        except Exception:
            log.exception("encoding %d texts failed; each is tried alone", len(new))
            vectors = np.stack([self._encode_one(text) for text in new])
        with self.connection.cursor() as cursor:
            cursor.executemany(
                self._sql["save_text"],
                [
                    {"model_version": self.model_version, "text": text, "vector": vector}
                    for text, vector in zip(new, vectors, strict=True)
                ],
            )

    def _encode_one(self, text: str) -> np.ndarray:
        try:
            vector: np.ndarray = self.model.query_vectors([text])[0]
        except Exception as problem:
            log.warning("a text is set aside: the model failed on it (%r)", problem)
            reason = f"text: the model of version {self.model_version} failed on it: {problem!r}"
            self.connection.execute(self._sql["set_aside"], {"reason": reason[:1000], "content": Jsonb({"text": text})})
            return np.zeros(DIM, np.float32)
        return vector


def _history(times: bytes, kinds: bytes, vectors: bytes, names: Sequence[str]) -> History:
    raw = np.frombuffer(vectors, np.uint8).reshape(-1, VECTOR_BYTES)[:, 4:]
    return History(
        raw.view(">f4").astype(np.float32),
        [names[code - 1] for code in np.frombuffer(kinds, ">i2").tolist()],
        np.frombuffer(times, ">f8").astype(np.float64),
    )
