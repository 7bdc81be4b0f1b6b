"""Interest vectors as a pure function of the event ledger, and the cursor that follows it.

A vector is f(last N events of a person in a position), and a position is a snapshot of transactions
(`nearline.core.position`). Nothing is accumulated, so a retry, a duplicate, a late event or a rebuild gives the same
vector; and because the cursor moves in the transaction that writes the vectors, an event is neither lost nor counted
twice whatever dies when. Whoever writes vectors holds the row of the cursor until the end of the transaction.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import uuid4

from psycopg import ServerCursor

from nearline.adapters.history_reader import Encoder
from nearline.adapters.interest_writer import InterestWriter, batches
from nearline.adapters.postgres import Connection, queries
from nearline.adapters.shard import Shard, ShardsChanged
from nearline.core.position import Position
from nearline.core.unread import next_batch
from nearline.errors import DatabaseError

log = logging.getLogger("nearline.interests")

EVENTS_A_BATCH = 5000
PEOPLE_AT_A_TIME = 1000
"""Of a large transaction: events of others wait for them, some 0.4 s."""
TELLING_SECONDS = 0.001
"""Between looks whether a transaction that was committed has told the others what it did: it takes less."""


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
        self.model_version = model_version
        self.shard = Shard(connection, model_version, shard, shard_count)
        self.writer = InterestWriter(self.shard, model)
        self._sql = queries("refresh")
        self._partitions = ""
        self._put_off: list[Large] = []

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
            self.shard.execute(self._sql["forget_waiting"], users=erased)
        # With all that was put off: who was passed there may have lost that vector since, by an erasure.
        known = until.including([large.transaction for large in self._put_off])
        people = self.writer.refresh(sorted({row[0] for row in rows}), known)
        if erased:  # after their vectors, in the order of nearline.erase_user
            self.connection.execute(queries("explanations")["forget_measured"], {"users": erased})
        self.shard.execute(self._sql["move_cursor"], position=str(until))
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
            values = self.shard.values({"transaction": str(large.transaction)})
            large.people = people_of.execute(self._sql["people_of_transaction"], values)
        names = [name for (name,) in large.people.fetchmany(PEOPLE_AT_A_TIME)]
        with self.connection.transaction():
            position = self.position()
            until = position.including([large.transaction])
            people = self.writer.refresh(names, until)
            large.done, large.seconds = large.done + people, large.seconds + time.monotonic() - began
            log.info("transaction %d is large: %d of its people are done", large.transaction, large.done)
            if names and until != position:
                return Step(0, people, time.monotonic() - began, False)
            self.shard.execute(self._sql["move_cursor"], position=str(until))
            count, recorded_at = self.shard.one(self._sql["events_of_transaction"], transaction=str(large.transaction))
            recorded = [recorded_at] if count and until != position else []  # else another one was here first
            step = self._done(count if recorded else 0, large.done, large.seconds, len(self._put_off) == 1, recorded)
        large.people.close()
        self._put_off.pop(0)
        return step._replace(people=people)

    def _done(self, events: int, people: int, seconds: float, is_last: bool, recorded: list[float]) -> Step:
        if recorded:
            self.shard.execute(
                self._sql["log_batch"], event_count=events, user_count=people, seconds=seconds, recorded_at=recorded
            )  # fmt: skip
        return Step(events, people, seconds, is_last)

    def _unread(self, max_events: int, position: Position) -> tuple[Position, Position, list[tuple[Any, ...]]]:
        """What was committed since a position: that position, where it is read to, and rows of ``changed``."""
        now = self._now().without([large.transaction for large in self._put_off])
        return (
            position,
            now,
            self.shard.rows(self._sql["changed"], position=str(position), now=str(now), max_events=max_events),
        )

    def _now(self) -> Position:
        """All that is committed; statements after this are planned with the partitions that it is in."""
        snapshot, partitions = self.shard.one(self._sql["snapshot"])
        if partitions != self._partitions:
            while not self.shard.one(self._sql["is_told"])[0]:
                time.sleep(TELLING_SECONDS)
            with self.connection.transaction(force_rollback=True):  # which lets the lock go at once
                self.shard.execute(self._sql["hear_of_partitions"])
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
            self.shard.rows(self._sql["lock_other_cursors"])  # their vectors stand still from here on
            settle()
            total += self.catch_up()
            flip()
        return total

    def rebuild(self) -> int:
        """Compute everybody's vector anew and set the cursor to where they are true.

        Vectors are committed a batch at a time; the cursor last, so a rebuild that dies is simply run again.
        Returns the number of vectors.
        """
        self.writer.measure_catalogue()
        if adopted := self.shard.one(self._sql["adopt_ledger"])[0]:
            log.info("%d events came from another server: all is computed anew", adopted)
        position = self._now()
        everybody = [row[0] for row in self.shard.rows(self._sql["users"], position=str(position))]
        done = self._refresh_in_batches(everybody, position)
        with self.connection.transaction():
            self.shard.execute(self._sql["start_cursor"], position=str(position))
        return done

    def replay(self, users: Sequence[str] | None = None, since: datetime | None = None) -> int:
        """Compute vectors anew as of the cursor: those of ``users``, of people with events ``since``, or everybody's.

        They come out as they are, bit for bit, unless something else than this code has written them.
        Returns the number of vectors.
        """
        position = str(self.position(lock=False))
        if users is not None:
            rows = self.shard.rows(self._sql["users_of_shard"], users=list(users))
        elif since is not None:
            rows = self.shard.rows(self._sql["users_since"], since=since, position=position)
        else:
            rows = self.shard.rows(self._sql["users"], position=position)
        return self._refresh_in_batches([row[0] for row in rows], None)

    def take_arrived(self, *, look_at_all: bool = True) -> int:
        """Refresh the people whose unknown items have a vector by now; returns how many.

        ``look_at_all``: else only items are looked at that came a moment ago.
        """
        with self.connection.transaction():
            position = self.position()
            users = sorted({row[0] for row in self.shard.rows(self._sql["take_arrived"], look_at_all=look_at_all)})
            return self.writer.refresh(users, position) if users else 0

    def position(self, *, lock: bool = True) -> Position:
        """How far this shard was read; with ``lock``, nobody else writes its vectors until the transaction ends."""
        rows = self.shard.rows(self._sql["cursor" if lock else "look_at_cursor"])
        if rows:
            return Position.parse(rows[0][0])
        if self.shard.rows(self._sql["has_cursor"]):
            raise ShardsChanged
        raise DatabaseError(
            f"Model version {self.model_version} has no cursor. Fix: run rebuild_interests for it first."
        )

    def _refresh_in_batches(self, users: list[str], position: Position | None) -> int:
        """Commit a batch at a time, as of a position or (None) of the cursor; returns the number of vectors."""
        done = 0
        for batch in batches(users):
            with self.connection.transaction():
                done += self.writer.refresh(batch, position or self.position())
            log.info("%d of %d people", min(done, len(users)), len(users))
        return done
