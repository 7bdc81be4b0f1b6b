"""Drain the ledger until the time is over: wait for events, refresh in batches that fit the load, ride out a restart.

Waiting costs nothing: Postgres says when something was committed (LISTEN), and where that cannot pass, as through a
pooler, a look at the ledger twice a second does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from nearline.adapters.explanations import Explanations
from nearline.adapters.history_reader import Encoder
from nearline.adapters.interest_ledger import EVENTS_A_BATCH, InterestLedger, Step
from nearline.adapters.new_items import NewItems
from nearline.adapters.postgres import Connection, connect, queries
from nearline.adapters.shard import ShardsChanged
from nearline.adapters.stop import Stop
from nearline.errors import DatabaseError, DatabaseUnreachable
from nearline.settings import Settings

log = logging.getLogger("nearline.refresh")

LOOK_SECONDS = 0.5
"""Between looks at the ledger while nothing is heard."""
BUSY_SECONDS = 0.02
"""Between looks while writers are under way: one of them commits in a moment."""
SWEEP_SECONDS = 2.0
"""Between looks for items that came after the model."""
SUCCESSOR_SECONDS = 0.25
"""Between looks for a run that wants to take over."""
LOCK_SECONDS = 30.0
"""How long a run that is ready waits for the one before it, which is at a batch; then the next minute tries again."""
STANDSTILL_SECONDS = 15.0
"""In which one that works begins another transaction."""
BATCH_SECONDS = 0.5
"""What a batch should take: its people wait for its last one."""
MOST_EVENTS = 20_000
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.2, 5.0


@dataclass(frozen=True)
class Loaded:
    """The model of a version; it stays loaded when the connection is lost."""

    version: int
    model: Encoder


class Drain:
    """One run: the live version's events of one shard of the people, from now until ``deadline`` (monotonic seconds).

    ``load`` gives the model of a version; ``stop`` ends the run after the batch it is at.
    """

    def __init__(
        self,
        settings: Settings,
        load: Callable[[int], Encoder],
        *,
        deadline: float,
        stop: Stop,
        shard: int = 0,
        shard_count: int = 1,
        wait_for_lock: float = LOCK_SECONDS,
    ) -> None:
        self.settings = settings
        self.deadline = deadline
        self.stop = stop
        self.shard, self.shard_count = shard, shard_count
        self.events = self.people = self.batches = 0
        self.busy_seconds = 0.0
        self._load = load
        self._loaded: Loaded | None = None
        self._wait_for_lock = wait_for_lock
        self._sql = queries("refresh")

    def run(self) -> None:
        """Drain until the deadline, and at least until nothing is unread; follow the live version.

        Raises
        ------
        DatabaseUnreachable
            When Postgres is still away at the deadline.
        DatabaseError
            When the ledger came from another server, or the run that drains does not move while events wait.
        """
        retry = FIRST_RETRY_SECONDS
        while not self.stop.is_set():
            try:
                with connect(self.settings, autocommit=True) as connection:
                    retry = FIRST_RETRY_SECONDS
                    if self._drain(connection):
                        return
            except (psycopg.OperationalError, psycopg.InterfaceError, DatabaseUnreachable) as problem:
                if (getattr(problem, "sqlstate", None) or "").startswith("54"):
                    raise  # a limit of Postgres: the next try would meet it again
                # A batch that was under way is as if it never was.
                if time.monotonic() + retry > self.deadline:
                    raise DatabaseUnreachable(str(problem).strip()) from problem
                log.warning("Postgres is away (%s): again in %.1f s", str(problem).splitlines()[0], retry)
                self.stop.wait(retry)
                retry = min(2 * retry, LAST_RETRY_SECONDS)

    def _drain(self, connection: Connection) -> bool:
        """Drain one version; False: another one is to be followed."""
        if (found := connection.execute(self._sql["beyond_this_server"]).fetchone()) and found[0]:
            raise DatabaseError(
                f"The ledger came from another server, as by a restore: saw {found[0]}. What is recorded now would not "
                "count. Fix: make it this server's with `.venv/bin/python jobs/refresh_interests.py --rebuild`."
            )
        version = self._live_version(connection)
        while version is None and not self._is_over():
            self.stop.wait(LOOK_SECONDS)
            version = self._live_version(connection)
        if version is None:
            log.info("no model is live yet: nothing to refresh. The daily training publishes the first one.")
            return True
        if self._loaded is None or self._loaded.version != version:
            self._loaded = Loaded(version, self._load(version))
            log.info("version %d is live and loaded", version)
        ledger = InterestLedger(connection, self._loaded.model, version, self.shard, self.shard_count)
        if not self._take_over(ledger):
            self._check_that_it_moves(ledger)
            log.info("another run refreshes version %d, shard %d: nothing to do", version, self.shard)
            return True
        try:
            ledger.shard.divide()
            connection.execute(self._sql["listen"])
            return self._follow(ledger)
        except ShardsChanged:
            log.info("the people were divided anew, not into %d: ending", self.shard_count)
            return True

    def _follow(self, ledger: InterestLedger) -> bool:
        size, swept, looked = EVENTS_A_BATCH, 0.0, 0.0
        items, explanations = NewItems(ledger), Explanations(ledger)
        while True:
            step = self._count(ledger.step(size))
            large = self._count(ledger.step_large())
            if self.stop.is_set():
                log.info("asked to stop: the batch is written, the next run goes on from here")
                return True
            if not step.is_last:
                size = next_size(size, step.seconds)
                continue
            # Not amid a large transaction: the next run would list its people again, which takes seconds.
            if large.is_last and time.monotonic() > looked + SUCCESSOR_SECONDS:
                if ledger.shard.has_successor():
                    log.info("the next run is ready and takes over")
                    return True
                looked = time.monotonic()
            if time.monotonic() > swept + SWEEP_SECONDS:
                if self._live_version(ledger.connection) != ledger.model_version:
                    log.info("another version went live: following it")
                    return False
                swept = time.monotonic()
                items.take(only_people=self.shard > 0)
            if explanations.take() or not large.is_last:
                continue
            if self._is_over():
                return True
            if not step.events:
                self._wait(ledger, size, explanations)

    def _count(self, step: Step) -> Step:
        self.people += step.people
        if step.events:
            self.events += step.events
            self.batches, self.busy_seconds = self.batches + 1, self.busy_seconds + step.seconds
        return step

    def _wait(self, ledger: InterestLedger, size: int, explanations: Explanations) -> None:
        """Wait until something is committed, or for a while."""
        connection = ledger.connection
        if not connection.execute(self._sql["try_wait"]).fetchone()[0]:  # type: ignore[index]
            self.stop.wait(BUSY_SECONDS)
            return
        try:
            # Committed between the last look and the lock, and not announced:
            step = self._count(ledger.step(size))
            if not step.events and step.is_last and not explanations.take():
                seconds = max(0.0, min(LOOK_SECONDS, self.deadline - time.monotonic()))
                next(connection.notifies(timeout=seconds, stop_after=1), None)
        finally:
            connection.execute(self._sql["stop_waiting"])

    def _is_over(self) -> bool:
        return self.stop.is_set() or time.monotonic() > self.deadline

    def _live_version(self, connection: Connection) -> int | None:
        found = connection.execute(self._sql["live"]).fetchone()
        return found[0] if found else None

    def _check_that_it_moves(self, ledger: InterestLedger) -> None:
        """Raise where the one that drains is no more, and Postgres has not noticed."""
        asked, ours = queries("standstill"), {"model_version": ledger.model_version, "shard": self.shard}
        values = {**ours, "seconds": self.settings.lag_budget}
        stands = ledger.connection.execute(asked["standstill"], values).fetchone()
        if stands is None:
            return
        holder = ledger.connection.execute(asked["holder"], ours).fetchone()
        self.stop.wait(STANDSTILL_SECONDS)
        if (
            holder is None
            or self.stop.is_set()
            or ledger.connection.execute(asked["holder"], ours).fetchone() != holder
        ):
            return
        raise DatabaseError(
            f"Shard {self.shard} of version {ledger.model_version} stands still since {stands[0]:%Y-%m-%d %H:%M} UTC: "
            f"session {holder[0]} has its lock and does nothing, while an event has waited for {stands[1]}. "
            f"Fix: end what is left of that run with `select pg_terminate_backend({holder[0]})`; the next run goes on."
        )

    def _take_over(self, ledger: InterestLedger) -> bool:
        """Become the one that drains: at once where nobody does, else when all that this run needs is loaded."""
        if ledger.shard.lock():
            return True
        if self._wait_for_lock <= 0:
            return False
        ledger.writer.model.get_ready()
        give_up = time.monotonic() + self._wait_for_lock
        is_next = False
        try:
            while not ledger.shard.lock():
                is_next = is_next or ledger.shard.lock_next()
                if time.monotonic() > give_up or self.stop.is_set():
                    return False
                self.stop.wait(BUSY_SECONDS)
            return True
        finally:
            if is_next:
                ledger.shard.unlock_next()


def next_size(size: int, seconds: float) -> int:
    """Events of the next full batch, after one that took so long: towards `BATCH_SECONDS`, at most doubled or halved.

    >>> next_size(1000, 0.25), next_size(1000, 0.01), next_size(1000, 30.0), next_size(100, 30.0)
    (2000, 2000, 500, 100)
    """
    share = min(2.0, max(0.5, BATCH_SECONDS / max(seconds, 1e-3)))
    return int(min(MOST_EVENTS, max(100, size * share)))
