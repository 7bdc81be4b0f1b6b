"""Interest vectors as a pure function of the event ledger, and the cursor that follows it.

A vector is f(last N events of a person in transactions below a position). Nothing is accumulated, so a retry, a
duplicate, a late event or a rebuild gives the same vector; and because the cursor moves in the transaction that writes
the vectors, an event is neither lost nor counted twice whatever dies when.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Protocol

import numpy as np

from nearline.adapters.postgres import Connection, queries
from nearline.core.behaviour import History
from nearline.core.blend import scaled
from nearline.core.fold import unit_scale
from nearline.core.interest import DIM, catalogue_moments
from nearline.errors import DatabaseError

log = logging.getLogger("nearline.interests")

USERS_A_BATCH = 500
EVENTS_A_BATCH = 5000


class Encoder(Protocol):
    """What is needed of an interest model; `nearline.models.interest_model.InterestModel` is one."""

    @property
    def history_length(self) -> int:
        """How many of a person's newest events are read."""

    def query_vectors(self, queries: Sequence[str]) -> np.ndarray:
        """Encode searches: float32 (n, DIM)."""

    def interests(self, histories: Sequence[History]) -> np.ndarray:
        """Encode histories, also empty ones: float32 (n, DIM)."""


class InterestLedger:
    """Writes the interest vectors of one model version; hold one at a time, see `lock`."""

    def __init__(self, connection: Connection, model: Encoder, model_version: int) -> None:
        self.connection = connection
        self.model = model
        self.model_version = model_version
        self.shard = 0
        self._sql = queries("refresh")
        self._covariance: np.ndarray | None = None

    def lock(self) -> bool:
        """Try to become the only writer of this version until the connection ends; False: another one is."""
        return bool(self._one("try_lock")[0])

    def step(self, max_events: int = EVENTS_A_BATCH) -> tuple[int, int]:
        """Refresh the people of the oldest unread events, in one transaction.

        Returns
        -------
        tuple of int
            Events read and people refreshed; (0, 0) when there was nothing to do.
        """
        with self.connection.transaction():
            found = self._rows("cursor")
            if not found:
                raise DatabaseError(
                    f"Model version {self.model_version} has no cursor. Fix: run rebuild_interests for it first."
                )
            watermark = self._one("watermark")[0]
            events = self._rows("changed", from_position=found[0][0], until_position=watermark, max_events=max_events)
            # A full batch ends after its last transaction; a short one has read all there is below the watermark.
            until = watermark if len(events) < max_events else str(int(events[-1][1]) + 1)
            if not events:
                return 0, 0  # and nothing written: an idle poll costs no transaction id
            users = sorted({user for user, _, _ in events})
            refreshed = self._refresh(users, until)
            self._execute("move_cursor", position=until)
            self._execute(
                "log_batch", event_count=len(events), user_count=refreshed, recorded_at=[row[2] for row in events]
            )
        return len(events), refreshed

    def catch_up(self) -> int:
        """Refresh until nothing is unread; returns the number of events read."""
        total = 0
        while (events := self.step()[0]) > 0:
            total += events
        return total

    def rebuild(self) -> int:
        """Compute everybody's vector anew and set the cursor to where they are true.

        Vectors are committed a batch at a time; the cursor last, so a rebuild that dies is simply run again.
        Returns the number of vectors.
        """
        self._measure_catalogue()
        with self.connection.transaction():
            position = self._one("watermark")[0]
            everybody = [row[0] for row in self._rows("users", until_position=position)]
        done = 0
        for batch in _batches(everybody, USERS_A_BATCH):
            with self.connection.transaction():
                done += self._refresh(batch, position)
            log.info("%d of %d people", min(done, len(everybody)), len(everybody))
        with self.connection.transaction():
            self._execute("start_cursor", position=position)
        return done

    def _refresh(self, users: Sequence[str], until: str) -> int:
        """Compute and write the vectors of ``users`` as of a position; returns how many have one."""
        done = 0
        for batch in _batches(users, USERS_A_BATCH):
            names, histories = self._histories(batch, until)
            vectors = self._scaled(self.model.interests(histories))
            with self.connection.cursor() as cursor:
                cursor.executemany(
                    self._sql["save_interest"],
                    [
                        {
                            "model_version": self.model_version,
                            "user_id": name,
                            "vector": vector,
                            "position": until,
                            "event_count": len(history),
                            "newest_event_at": history.occurred_at[-1],
                        }
                        for name, history, vector in zip(names, histories, vectors, strict=True)
                    ],
                )
            done += len(names)
        return done

    def _histories(self, users: Sequence[str], until: str) -> tuple[list[str], list[History]]:
        rows = self._rows(
            "histories", users=list(users), until_position=until, history_length=self.model.history_length, binary=True
        )
        meant = self._query_vectors({row[4] for row in rows if row[3] is None and row[4] is not None})
        names, histories = [], []
        for name, events in groupby(rows, key=lambda row: row[0]):
            # An item that the model does not know has no vector; its event waits in the ledger.
            known = [
                (kind, at, meant[query] if vector is None else vector)
                for _, kind, at, vector, query in events
                if vector is not None or query is not None
            ]
            if known:
                kinds, times, vectors = zip(*known, strict=True)
                names.append(name)
                histories.append(History(np.stack(vectors).astype(np.float32), kinds, np.array(times)))
        return names, histories

    def _query_vectors(self, texts: set[str]) -> dict[str, np.ndarray]:
        """Encode searches that were never met before, once, and remember them."""
        new = sorted(texts)
        if not new:
            return {}
        vectors = self.model.query_vectors(new)
        with self.connection.cursor() as cursor:
            cursor.executemany(
                self._sql["save_query"],
                [
                    {"model_version": self.model_version, "query": query, "vector": vector}
                    for query, vector in zip(new, vectors, strict=True)
                ],
            )
        return dict(zip(new, vectors, strict=True))

    def _measure_catalogue(self) -> None:
        rows = self._rows("item_vectors", binary=True)
        if not rows:
            raise DatabaseError(f"Model version {self.model_version} has no item vectors. Fix: run embed_items first.")
        covariance = catalogue_moments(np.stack([row[0] for row in rows]))[1]
        with self.connection.transaction():
            self._execute("save_moments", covariance=covariance.ravel().tolist(), fallback_scale=unit_scale(covariance))
            nobody = History(np.zeros((0, DIM), np.float32), [], np.zeros(0))
            newcomer = self._scaled(self.model.interests([nobody]))[0]
            # A model that knows nothing of newcomers leaves them to what is popular.
            self._execute("save_newcomer", vector=newcomer if newcomer.any() else None)

    def _scaled(self, interests: np.ndarray) -> np.ndarray:
        """Scale interests (n, DIM) so that their scores over the catalogue have a standard deviation of 1."""
        if self._covariance is None:
            values = self._one("moments")[0]
            if values is None:
                raise DatabaseError(f"Model version {self.model_version} was not rebuilt. Fix: run rebuild_interests.")
            self._covariance = np.asarray(values, dtype=np.float64).reshape(DIM, DIM)
        return scaled(interests, self._covariance)

    def _rows(self, name: str, *, binary: bool = False, **values: Any) -> list[tuple[Any, ...]]:
        with self.connection.cursor(binary=binary) as cursor:
            return cursor.execute(self._sql[name], self._values(values)).fetchall()

    def _one(self, name: str, **values: Any) -> tuple[Any, ...]:
        return self._rows(name, **values)[0]

    def _execute(self, name: str, **values: Any) -> None:
        self.connection.execute(self._sql[name], self._values(values))

    def _values(self, values: dict[str, Any]) -> dict[str, Any]:
        return {"model_version": self.model_version, "shard": self.shard, **values}


def _batches(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]
