"""The one place where interest vectors are computed and written: from what a person did as of a position."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from psycopg.types.json import Jsonb

from nearline.adapters.history_reader import Encoder, HistoryReader, People
from nearline.adapters.postgres import VectorArray, queries
from nearline.adapters.shard import Shard
from nearline.core.behaviour import History
from nearline.core.blend import scaled
from nearline.core.fold import unit_scale
from nearline.core.interest import DIM, catalogue_moments
from nearline.core.position import Position
from nearline.errors import DatabaseError, ModelError

log = logging.getLogger("nearline.interests")

USERS_A_BATCH = 500


class InterestWriter:
    """Computes the interest vectors of people of one shard, and writes them.

    While the model computes those of a batch, the one before is written and the next one is read.
    """

    def __init__(self, shard: Shard, model: Encoder) -> None:
        self.shard = shard
        self.model = model
        self.reader = HistoryReader(shard.connection, model, shard.model_version)
        self._sql = queries("refresh")
        self._background = ThreadPoolExecutor(1, "interests")
        self._covariance: np.ndarray | None = None

    def refresh(self, users: Sequence[str], position: Position) -> int:
        """Compute and write vectors that know at least a position; returns how many people have one."""
        done, before = 0, None
        for batch in batches(users):
            read = self._read(batch, position)
            # Computed while the one before is written and the next one is looked for: it uses no connection.
            now = (*read, self._background.submit(self.model.interests, read[0].histories))
            if before:
                done += self._write(*before)
            before = now
        return done + (self._write(*before) if before else 0)

    def interests_without(self, user: str, position: Position, events: Sequence[str]) -> dict[str, np.ndarray | None]:
        """Compute the vector of one person as of a position, once without each of some events: float32 (DIM,) each.

        None where nothing is left that the model can read. An event is missing where the model fails without it.
        """
        people = self.reader.read_without(user, position, events)
        computed = self._background.submit(self.model.interests, people.histories)
        found = zip(people.names, self._vectors(people, computed, _leave_out), strict=True)
        return {**dict.fromkeys(people.without), **{event: vector for event, vector in found if vector is not None}}

    def measure_catalogue(self) -> None:
        """Measure the item vectors, by which interests are scaled, and write the vector of people without a history.

        Raises
        ------
        DatabaseError
            When the version has no item vectors.
        """
        rows = self.shard.rows(self._sql["item_vectors"], binary=True)
        if not rows:
            raise DatabaseError(
                f"Model version {self.shard.model_version} has no item vectors. Fix: run embed_items first."
            )
        covariance = catalogue_moments(np.stack([row[0] for row in rows]))[1]
        with self.shard.connection.transaction():
            self.shard.execute(
                self._sql["save_moments"], covariance=covariance.ravel().tolist(), fallback_scale=unit_scale(covariance)
            )
            nobody = History(np.zeros((0, DIM), np.float32), [])
            newcomer = self.scaled(self.model.interests([nobody]))[0]
            # A model that knows nothing of newcomers leaves them to what is popular.
            self.shard.execute(self._sql["save_newcomer"], vector=newcomer if newcomer.any() else None)

    def scaled(self, interests: np.ndarray) -> np.ndarray:
        """Scale interests (n, DIM) so that their scores over the catalogue have a standard deviation of 1."""
        if self._covariance is None:
            values = self.shard.one(self._sql["moments"])[0]
            if values is None:
                raise DatabaseError(
                    f"Model version {self.shard.model_version} was not rebuilt. Fix: run rebuild_interests."
                )
            self._covariance = np.asarray(values, dtype=np.float64).reshape(DIM, DIM)
        return scaled(interests, self._covariance)

    def _read(self, users: Sequence[str], position: Position) -> tuple[People, dict[str, Position]]:
        stored = self.shard.rows(self._sql["stored_positions"], users=list(users))
        # Where shards of people changed hands a vector may know what this position does not: nothing is unlearnt.
        joined = {text: position.join(Position.parse(text)) for text in {text for _, text in stored}}  # few differ
        known = {user: joined[text] for user, text in stored}
        positions = {user: known.get(user, position) for user in users}
        return self.reader.read(positions), positions

    def _write(self, people: People, positions: dict[str, Position], computed: Future[np.ndarray]) -> int:
        if people.without:
            self.shard.execute(self._sql["forget_interests"], users=people.without)
        vectors = {
            row: vector
            for row, vector in enumerate(self._vectors(people, computed, self._set_aside))
            if vector is not None
        }
        kept = list(vectors)
        if kept:
            self.shard.execute(
                self._sql["save_interests"],
                users=[people.names[row] for row in kept],
                vectors=VectorArray(list(vectors.values())),
                positions=[str(positions[people.names[row]]) for row in kept],
                event_counts=[len(people.histories[row]) for row in kept],
                newest_event_at=[people.newest_at[row] for row in kept],
            )
        return len(kept)

    def _vectors(
        self, people: People, computed: Future[np.ndarray], failed: Callable[[str, Exception], None]
    ) -> list[np.ndarray | None]:
        """Vectors as they are stored; None where the model fails on a history, after ``failed`` is told of which."""
        if not people.histories:
            return []
        try:
            interests = _finite(computed.result())
        except MemoryError:
            raise
        except Exception as problem:
            log.warning("%d histories together failed (%r); each is tried alone", len(people.histories), problem)
            return [self._vector(name, one, failed) for name, one in zip(people.names, people.histories, strict=True)]
        return list(self.scaled(interests))

    def _vector(self, name: str, history: History, failed: Callable[[str, Exception], None]) -> np.ndarray | None:
        try:
            interests = _finite(self.model.interests([history]))
        except Exception as problem:
            failed(name, problem)
            return None
        vector: np.ndarray = self.scaled(interests)[0]
        return vector

    def _set_aside(self, user: str, problem: Exception) -> None:
        log.warning("somebody is set aside: the model failed on their events (%r)", problem)
        reason = f"events: the model of version {self.shard.model_version} failed on those of this person: {problem!r}"
        self.shard.execute(self._sql["set_aside"], reason=reason[:1000], content=Jsonb({"user_id": user}))


def batches(users: Sequence[str]) -> Iterator[Sequence[str]]:
    """People, ``USERS_A_BATCH`` at a time."""
    for start in range(0, len(users), USERS_A_BATCH):
        yield users[start : start + USERS_A_BATCH]


def _leave_out(event: str, problem: Exception) -> None:
    log.warning("without one event of somebody the model fails (%r)", problem)


def _finite(vectors: np.ndarray) -> np.ndarray:
    if not np.isfinite(vectors).all():
        raise ModelError("Expected finite interests, saw nan or infinity. Fix: train the model again.")
    return vectors
