"""What people did, from Postgres to the arrays that the interest model reads."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from psycopg import sql
from psycopg.types.json import Jsonb

from nearline.adapters.postgres import Connection, queries
from nearline.core.behaviour import History
from nearline.core.interest import DIM
from nearline.core.position import Position
from nearline.core.vector_table import VectorTable

log = logging.getLogger("nearline.interests")


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
    #: When the newest of each one's events happened, known or not, in seconds since 1970 UTC.
    newest_at: list[float]
    without: list[str]


class HistoryReader:
    """Reads the newest events of people as of a position, and encodes the texts among them that are new.

    Vectors of items and texts are asked for once: within a version they never change.
    """

    def __init__(self, connection: Connection, model: Encoder, model_version: int) -> None:
        self.connection = connection
        self.model = model
        self.model_version = model_version
        self._sql = queries("refresh")
        self._items, self._texts = VectorTable(), VectorTable()

    def read(self, positions: Mapping[str, Position]) -> People:
        """Read the people that ``positions`` names, each as of their position.

        An event of an item without a vector is left out, and waits: see `InterestLedger.take_arrived`.
        """
        codes, names = self._kinds()
        users, until = list(positions), [str(position) for position in positions.values()]
        rows = self._rows(self._sql["histories"], users=users, positions=until, kinds=codes)
        people, waiting = self._people(rows, names, users)
        if waiting:
            self._wait(waiting)
        return people

    def read_without(self, user: str, position: Position, events: Sequence[str]) -> People:
        """Read one person as of a position, once without each of some events; ``names`` are those events."""
        codes, names = self._kinds()
        query = queries("explanations")["histories_without"]
        rows = self._rows(query, user=user, position=str(position), events=list(events), kinds=codes)
        return self._people(rows, names, events)[0]

    def _kinds(self) -> tuple[list[str], list[str]]:
        """Kinds of events, and what the model reads each as."""
        kinds = self.connection.execute(self._sql["kinds"]).fetchall()
        return [kind for kind, _ in kinds], [self.model.read_as(kind, weight) for kind, weight in kinds]

    def _people(
        self, rows: Sequence[tuple[Any, ...]], names: Sequence[str], wanted: Iterable[str]
    ) -> tuple[People, list[tuple[str, str]]]:
        """Histories from rows of ``histories``, and unknown items with whom they keep waiting."""
        self._learn_items({item for row in rows for item in row[3] if item is not None})
        self._learn_texts({text for row in rows if row[4] for text in row[4] if text is not None})
        found, newest_at, waiting = {}, [], []
        for user, at, codes, items, texts in rows:
            item_rows = self._items.rows(items)
            vectors, known = self._vectors(items, item_rows, texts)
            codes = np.frombuffer(codes, ">i2")
            if not known.all():
                waiting += [(items[place], user) for place in np.flatnonzero(item_rows < 0) if items[place] is not None]
                vectors, codes = vectors[known], codes[known]
            if len(codes):
                found[user] = History(vectors, [names[code - 1] for code in codes.tolist()])
                newest_at.append(at)
        return People(list(found), list(found.values()), newest_at, sorted(set(wanted) - set(found))), waiting

    def _rows(self, query: sql.SQL, **values: Any) -> list[tuple[Any, ...]]:
        self.connection.execute(self._sql["plan_histories"])
        with self.connection.cursor(binary=True) as cursor:
            return cursor.execute(query, {**values, "history_length": self.model.history_length}).fetchall()

    def _vectors(
        self, items: Sequence[str | None], item_rows: np.ndarray, texts: Sequence[str | None] | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of one person's events, float32 (t, DIM), and which of them are known, bool (t,).

        A search is its text, and a comment the mean of its item and its text.
        """
        vectors, known = self._items.vectors[item_rows], item_rows >= 0
        if texts is not None:
            text_rows = self._texts.rows(texts)
            searches = (text_rows >= 0) & np.array([item is None for item in items])
            comments = (text_rows >= 0) & known
            vectors[searches] = self._texts.vectors[text_rows[searches]]
            vectors[comments] = (vectors[comments] + self._texts.vectors[text_rows[comments]]) / 2
            known = known | searches
        return vectors, known

    def _learn_items(self, items: set[str]) -> None:
        self._learn(self._items, "items_by_name", self._items.missing(items))

    def _learn_texts(self, texts: set[str]) -> None:
        missing = self._texts.missing(texts)
        self._learn(self._texts, "texts_by_name", missing)
        if new := self._texts.missing(missing):
            self._texts.add(new, self._encode(new))

    def _learn(self, table: VectorTable, query: str, names: list[str]) -> None:
        if names:
            with self.connection.cursor(binary=True) as cursor:
                rows = cursor.execute(
                    self._sql[query], {"model_version": self.model_version, "names": names}
                ).fetchall()
            if rows:
                table.add(*zip(*rows, strict=True))

    def _wait(self, waiting: Sequence[tuple[str, str]]) -> None:
        items, users = zip(*waiting, strict=True)
        self.connection.execute(
            self._sql["save_waiting"],
            {"model_version": self.model_version, "items": list(items), "users": list(users)},
        )

    def _encode(self, new: list[str]) -> np.ndarray:
        """Encode searches and comments that were never met before, all at once, and remember them.

        One that the model fails on is kept out of the others' way: it means nothing (zeros), and is set aside with the
        reason in nearline_data.rejected_row.
        """
        self.model.get_ready()  # what fails here fails for all texts, and is no text's fault
        try:
            vectors = self.model.query_vectors(new)
        except (MemoryError, OSError):
            raise
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
        return vectors

    def _encode_one(self, text: str) -> np.ndarray:
        try:
            vector: np.ndarray = self.model.query_vectors([text])[0]
        except (MemoryError, OSError):
            raise
        except Exception as problem:
            log.warning("a text is set aside: the model failed on it (%r)", problem)
            reason = f"text: the model of version {self.model_version} failed on it: {problem!r}"
            self.connection.execute(self._sql["set_aside"], {"reason": reason[:1000], "content": Jsonb({"text": text})})
            return np.zeros(DIM, np.float32)
        return vector
