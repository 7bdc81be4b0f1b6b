"""Interest vectors as a pure function of the event ledger, and the cursor that follows it.

A vector is f(last N events of a person in a position), and a position is a snapshot of transactions
(`nearline.core.position`). Nothing is accumulated, so a retry, a duplicate, a late event or a rebuild gives the same
vector; and because the cursor moves in the transaction that writes the vectors, an event is neither lost nor counted
twice whatever dies when. Whoever writes vectors holds the row of the cursor until the end of the transaction.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
from psycopg import ServerCursor
from psycopg.types.json import Jsonb

from nearline.adapters.history_reader import Encoder, HistoryReader, People
from nearline.adapters.postgres import Connection, VectorArray, queries
from nearline.core.behaviour import History
from nearline.core.blend import scaled
from nearline.core.fold import unit_scale
from nearline.core.interest import DIM, catalogue_moments
from nearline.core.position import Position
from nearline.core.unread import next_batch
from nearline.errors import DatabaseError, ModelError

log = logging.getLogger("nearline.interests")

USERS_A_BATCH = 500
EVENTS_A_BATCH = 5000
PEOPLE_AT_A_TIME = 1000
"""Of a large transaction: events of others wait for them, some 0.4 s."""
TELLING_SECONDS = 0.001
"""Between looks whether a transaction that was committed has told the others what it did: it takes less."""


class ShardsChanged(Exception):
    """The people were divided anew, and this reader's shard is no more; nothing is wrong."""


class Step(NamedTuple):
    """What one transaction did; ``events`` is 0 where there was nothing to do."""

    events: int
    people: int
    seconds: float
    is_last: bool
    """Whether all that was committed when it began has been read, but for large transactions that were put off."""


@dataclass
class Large:
    """A transaction of more events than a batch, whose people are refreshed some at a time."""

    transaction: int
    people: ServerCursor[tuple[Any, ...]] | None = None
    done: int = 0
    seconds: float = 0.0


class InterestLedger:
    """Writes the interest vectors of one model version, for one shard of the people.

    A transaction of more events than a batch is put off: the cursor goes on as if it were still open, and its people
    are refreshed some at a time in between. So a load, however large, holds up nobody else.
    """

    def __init__(
        self, connection: Connection, model: Encoder, model_version: int, shard: int = 0, shard_count: int = 1
    ) -> None:
        self.connection = connection
        self.model = model
        self.model_version = model_version
        self.shard, self.shard_count = shard, shard_count
        self._sql = queries("refresh")
        self._reader = HistoryReader(connection, model, model_version)
        self._background = ThreadPoolExecutor(1, "interests")
        self._covariance: np.ndarray | None = None
        self._partitions = ""
        self._put_off: list[Large] = []

    def lock(self) -> bool:
        """Try to become the one that drains this shard until the connection ends; False: another one does."""
        return bool(self._one("try_lock")[0])

    def lock_next(self) -> bool:
        """Say that this run is ready to drain after the one that does; False: another one waits already."""
        return bool(self._one("try_lock_next")[0])

    def unlock_next(self) -> None:
        """Take that back."""
        self._rows("unlock_next")

    def has_successor(self) -> bool:
        """Whether another run is ready to drain this shard."""
        if self._one("try_lock_next")[0]:
            self._rows("unlock_next")
            return False
        return True

    def set_shards(self) -> None:
        """Divide the people as this ledger was told, where they are divided otherwise."""
        with self.connection.transaction():
            self._execute("set_shards")

    def step(self, max_events: int = EVENTS_A_BATCH) -> Step:
        """Refresh the people of the oldest unread events, in one transaction.

        A transaction of more than ``max_events`` events is put off, for `step_large`.

        Raises
        ------
        ShardsChanged
            When the people were divided anew.
        DatabaseError
            When the version was never rebuilt.
        """
        began = time.monotonic()
        with self.connection.transaction():
            position, now, rows = self._unread(max_events, self.position(lock=False))
            if not rows:
                return Step(0, 0, 0.0, True)  # and nothing written: an idle look costs no transaction id
            if (locked := self.position()) != position:  # another one was here first
                position, now, rows = self._unread(max_events, locked)
            batch = next_batch([int(row[1]) for row in rows if row[2] is not None], position, now, max_events)
            until = batch.until
            if batch.large is not None:
                log.info("transaction %d is large: its people are refreshed some at a time", batch.large)
                self._put_off.append(Large(batch.large))
                until = until.without([batch.large])
            return self._take([row for row in rows if until.has(int(row[1]))], until, batch.is_last, began)

    def _take(self, rows: list[tuple[Any, ...]], until: Position, is_last: bool, began: float) -> Step:
        """Refresh the people of rows of ``changed``, and move the cursor, which is locked."""
        if erased := [row[0] for row in rows if row[2] is None]:
            self._execute("forget_waiting", users=erased)
        # With all that was put off: who was passed there may have lost that vector since, by an erasure.
        known = until.including([large.transaction for large in self._put_off])
        people = self._refresh(sorted({row[0] for row in rows}), known)
        if erased:  # after their vectors, in the order of nearline.erase_user
            self.connection.execute(queries("explanations")["forget_measured"], {"users": erased})
        self._execute("move_cursor", position=str(until))
        recorded = [row[2] for row in rows if row[2] is not None]
        return self._done(len(recorded), people, time.monotonic() - began, is_last, recorded)

    def step_large(self) -> Step:
        """Refresh some people of the oldest transaction that was put off, those whose vectors do not know it.

        The last of them moves the cursor, and only then are its events counted. ``is_last`` where none is put off.
        """
        if not self._put_off:
            return Step(0, 0, 0.0, True)
        large, began = self._put_off[0], time.monotonic()
        if large.people is None:
            people_of = self.connection.cursor(f"people_{uuid4().hex}", withhold=True)
            values = self._values({"transaction": str(large.transaction)})
            large.people = people_of.execute(self._sql["people_of_transaction"], values)
        names = [name for (name,) in large.people.fetchmany(PEOPLE_AT_A_TIME)]
        with self.connection.transaction():
            position = self.position()
            until = position.including([large.transaction])
            people = self._refresh(names, until)
            large.done, large.seconds = large.done + people, large.seconds + time.monotonic() - began
            log.info("transaction %d is large: %d of its people are done", large.transaction, large.done)
            if names and until != position:
                return Step(0, people, time.monotonic() - began, False)
            self._execute("move_cursor", position=str(until))
            count, recorded_at = self._one("events_of_transaction", transaction=str(large.transaction))
            recorded = [recorded_at] if count and until != position else []  # else another one was here first
            step = self._done(count if recorded else 0, large.done, large.seconds, len(self._put_off) == 1, recorded)
        large.people.close()
        self._put_off.pop(0)
        return step._replace(people=people)

    def _done(self, events: int, people: int, seconds: float, is_last: bool, recorded: list[float]) -> Step:
        if recorded:
            self._execute(
                "log_batch", event_count=events, user_count=people, seconds=seconds, recorded_at=recorded
            )  # fmt: skip
        return Step(events, people, seconds, is_last)

    def _unread(self, max_events: int, position: Position) -> tuple[Position, Position, list[tuple[Any, ...]]]:
        """What was committed since a position: that position, where it is read to, and rows of ``changed``."""
        now = self._now().without([large.transaction for large in self._put_off])
        return position, now, self._rows("changed", position=str(position), now=str(now), max_events=max_events)

    def _now(self) -> Position:
        """All that is committed; statements after this are planned with the partitions that it is in."""
        snapshot, partitions = self._one("snapshot")
        if partitions != self._partitions:
            while not self._one("is_told")[0]:
                time.sleep(TELLING_SECONDS)
            with self.connection.transaction(force_rollback=True):  # which lets the lock go at once
                self._execute("hear_of_partitions")
            self._partitions = partitions
        return Position.parse(snapshot)

    def catch_up(self) -> int:
        """Refresh until nothing is unread; returns the number of events read."""
        total = 0
        while True:
            step, large = self.step(), self.step_large()
            total += step.events + large.events
            if step.is_last and large.is_last:
                return total

    def catch_up_and(self, flip: Callable[[], None], settle: Callable[[], None] = lambda: None) -> int:
        """Catch up, and call ``flip`` in the transaction after which nothing of any other version is newer.

        ``settle`` is called when the vectors of the others stand still. Returns the number of events read.
        """
        total = self.catch_up()
        with self.connection.transaction():
            self._rows("lock_other_cursors")  # their vectors stand still from here on
            settle()
            total += self.catch_up()
            flip()
        return total

    def rebuild(self) -> int:
        """Compute everybody's vector anew and set the cursor to where they are true.

        Vectors are committed a batch at a time; the cursor last, so a rebuild that dies is simply run again.
        Returns the number of vectors.
        """
        self._measure_catalogue()
        if adopted := self._one("adopt_ledger")[0]:
            log.info("%d events came from another server: all is computed anew", adopted)
        position = self._now()
        everybody = [row[0] for row in self._rows("users", position=str(position))]
        done = self._refresh_in_batches(everybody, position)
        with self.connection.transaction():
            self._execute("start_cursor", position=str(position))
        return done

    def replay(self, users: Sequence[str] | None = None, since: datetime | None = None) -> int:
        """Compute vectors anew as of the cursor: those of ``users``, of people with events ``since``, or everybody's.

        They come out as they are, bit for bit, unless something else than this code has written them.
        Returns the number of vectors.
        """
        position = str(self.position(lock=False))
        if users is not None:
            rows = self._rows("users_of_shard", users=list(users))
        elif since is not None:
            rows = self._rows("users_since", since=since, position=position)
        else:
            rows = self._rows("users", position=position)
        return self._refresh_in_batches([row[0] for row in rows], None)

    def take_arrived(self, *, look_at_all: bool = True) -> int:
        """Refresh the people whose unknown items have a vector by now; returns how many.

        ``look_at_all``: else only items are looked at that came a moment ago.
        """
        with self.connection.transaction():
            position = self.position()
            users = sorted({row[0] for row in self._rows("take_arrived", look_at_all=look_at_all)})
            return self._refresh(users, position) if users else 0

    def interests_without(self, user: str, position: Position, events: Sequence[str]) -> dict[str, np.ndarray | None]:
        """Compute the vector of one person as of a position, once without each of some events: float32 (DIM,) each.

        None where nothing is left that the model can read. An event is missing where the model fails without it.
        """
        people = self._reader.read_without(user, position, events)
        computed = self._background.submit(self.model.interests, people.histories)
        found = zip(people.names, self._vectors(people, computed, _leave_out), strict=True)
        return {**dict.fromkeys(people.without), **{event: vector for event, vector in found if vector is not None}}

    def position(self, *, lock: bool = True) -> Position:
        """How far this shard was read; with ``lock``, nobody else writes its vectors until the transaction ends."""
        rows = self._rows("cursor" if lock else "look_at_cursor")
        if rows:
            return Position.parse(rows[0][0])
        if self._rows("has_cursor"):
            raise ShardsChanged
        raise DatabaseError(
            f"Model version {self.model_version} has no cursor. Fix: run rebuild_interests for it first."
        )

    def _refresh_in_batches(self, users: list[str], position: Position | None) -> int:
        """Commit a batch at a time, as of a position or (None) of the cursor; returns the number of vectors."""
        done = 0
        for batch in _batches(users, USERS_A_BATCH):
            with self.connection.transaction():
                done += self._refresh(batch, position or self.position())
            log.info("%d of %d people", min(done, len(users)), len(users))
        return done

    def _refresh(self, users: Sequence[str], position: Position) -> int:
        """Compute and write vectors that know at least a position; returns how many people have one."""
        done, before = 0, None
        for batch in _batches(users, USERS_A_BATCH):
            read = self._read(batch, position)
            # Computed while the one before is written and the next one is looked for: it uses no connection.
            now = (*read, self._background.submit(self.model.interests, read[0].histories))
            if before:
                done += self._write(*before)
            before = now
        return done + (self._write(*before) if before else 0)

    def _read(self, users: Sequence[str], position: Position) -> tuple[People, dict[str, Position]]:
        stored = self._rows("stored_positions", users=list(users))
        # Where shards of people changed hands a vector may know what this position does not: nothing is unlearnt.
        joined = {text: position.join(Position.parse(text)) for text in {text for _, text in stored}}  # few differ
        known = {user: joined[text] for user, text in stored}
        positions = {user: known.get(user, position) for user in users}
        return self._reader.read(positions), positions

    def _write(self, people: People, positions: dict[str, Position], computed: Future[np.ndarray]) -> int:
        if people.without:
            self._execute("forget_interests", users=people.without)
        vectors = {
            row: vector
            for row, vector in enumerate(self._vectors(people, computed, self._set_aside))
            if vector is not None
        }
        kept = list(vectors)
        if kept:
            self._execute(
                "save_interests",
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
        return list(self._scaled(interests))

    def _vector(self, name: str, history: History, failed: Callable[[str, Exception], None]) -> np.ndarray | None:
        try:
            interests = _finite(self.model.interests([history]))
        except Exception as problem:
            failed(name, problem)
            return None
        vector: np.ndarray = self._scaled(interests)[0]
        return vector

    def _set_aside(self, user: str, problem: Exception) -> None:
        log.warning("somebody is set aside: the model failed on their events (%r)", problem)
        reason = f"events: the model of version {self.model_version} failed on those of this person: {problem!r}"
        self._execute("set_aside", reason=reason[:1000], content=Jsonb({"user_id": user}))

    def _measure_catalogue(self) -> None:
        rows = self._rows("item_vectors", binary=True)
        if not rows:
            raise DatabaseError(f"Model version {self.model_version} has no item vectors. Fix: run embed_items first.")
        covariance = catalogue_moments(np.stack([row[0] for row in rows]))[1]
        with self.connection.transaction():
            self._execute("save_moments", covariance=covariance.ravel().tolist(), fallback_scale=unit_scale(covariance))
            nobody = History(np.zeros((0, DIM), np.float32), [])
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
        ours = {"model_version": self.model_version, "shard": self.shard, "shard_count": self.shard_count}
        return {**ours, **values}


def _leave_out(event: str, problem: Exception) -> None:
    log.warning("without one event of somebody the model fails (%r)", problem)


def _finite(vectors: np.ndarray) -> np.ndarray:
    if not np.isfinite(vectors).all():
        raise ModelError("Expected finite interests, saw nan or infinity. Fix: train the model again.")
    return vectors


def _batches(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]
