"""Applications that record events while everything around them fails, and the book of what they were told."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg

from chaos.refresh_process import POISON
from nearline.adapters.postgres import Connection, connect, copy_rows
from nearline.errors import DatabaseUnreachable
from nearline.settings import Settings
from small_shop import ITEMS, THEMES

PEOPLE = [f"u{number}" for number in range(8)]
"""Few, so that some have more events than a history holds."""
LEAVING = ["leaving-0", "leaving-1"]
"""People who may be erased. Only single events are theirs, so that it is known which came before the erasure."""
LATE_ITEMS = [f"late-{number}" for number in range(4)]
AWAY = (psycopg.OperationalError, psycopg.InterfaceError, DatabaseUnreachable)
"""The connection died, or the server aborted the transaction: try again."""


@dataclass(frozen=True)
class Event:
    """What `nearline.record_event` is told; a retry sends the same id and time."""

    event_id: str
    user_id: str
    kind: str
    item_id: str | None
    text: str | None
    happened_at: datetime


class Book:
    """What writers were told of their events."""

    def __init__(self) -> None:
        self.accepted: dict[str, Event] = {}
        self.refused: set[str] = set()
        """Rejected with an error, or rolled back by the writer itself."""
        self.erased: set[str] = set()
        self.people_erased: set[str] = set()
        self.retries = 0
        self.failures: list[str] = []
        """What no writer may ever be told."""
        self._lock = threading.Lock()
        self._leaving = {user: threading.Lock() for user in LEAVING}

    def accept(self, *events: Event) -> None:
        with self._lock:
            self.accepted.update({event.event_id: event for event in events})

    def refuse(self, *events: Event) -> None:
        with self._lock:
            self.refused.update(event.event_id for event in events)

    def erase(self, user: str) -> None:
        """All events so far of somebody are gone."""
        with self._lock:
            gone = [event.event_id for event in self.accepted.values() if event.user_id == user]
            for event_id in gone:
                del self.accepted[event_id]
            self.erased.update(gone)
            self.people_erased.add(user)

    def any_accepted(self, chance: random.Random) -> Event | None:
        """An event to send again."""
        with self._lock:
            stay = [event for event in self.accepted.values() if event.user_id not in LEAVING]
        return chance.choice(stay) if stay else None

    @contextmanager
    def alone(self, user: str) -> Iterator[None]:
        """Nobody else records or erases events of a person who may leave."""
        with self._leaving[user]:
            yield


class Writer:
    """One application: a thread that records events of all sorts until it is told to stop."""

    def __init__(self, settings: Settings, book: Book, seed: int, *, pause: float = 0.01, most: int = 10_000) -> None:
        self.settings = settings
        self.book = book
        self.most = most
        self.stop = threading.Event()
        self.hurry = threading.Event()
        """Set: transactions that are held open end now."""
        self._chance = random.Random(seed)
        self._pause = pause
        self._name = f"w{seed}"
        self._number = 0
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._run)

    def start(self) -> Writer:
        self._thread.start()
        return self

    def join(self) -> None:
        """Let it finish what it is at: an event whose fate is unknown is sent until it is known."""
        self.stop.set()
        self.hurry.set()
        self._thread.join(60)
        if self._thread.is_alive():
            self.book.failures.append(f"{self._name} did not get its event recorded within a minute")
        if self._connection:
            self._connection.close()

    def event(self, user: str | None = None, *, ago: timedelta | None = None) -> Event:
        """Something somebody did, mostly just now, at times out of order, late or at the same second as another."""
        chance = self._chance
        self._number += 1
        if ago is None:
            ago = timedelta(seconds=chance.choice([0.0, 0.0, 0.0, chance.uniform(0, 5), chance.uniform(0, 2_000_000)]))
        at = datetime.now(UTC) - ago
        if chance.random() < 0.2:
            at = at.replace(microsecond=0)
        item: str | None = chance.choice([*ITEMS, *LATE_ITEMS]) if chance.random() < 0.2 else chance.choice(ITEMS)
        kind, text = chance.choice(["view", "click", "like", "purchase"]), None
        sort = chance.random()
        if sort < 0.15:
            kind, item, text = "search", None, f"{chance.choice(THEMES)} {chance.randrange(20)}"
        elif sort < 0.25:
            # Not on an item that comes later: that is for `test_a_comment_on_an_unknown_item_waits`.
            kind, item, text = (
                "comment",
                chance.choice(ITEMS),
                f"good for {chance.choice(THEMES)} {chance.randrange(20)}",
            )
        elif sort < 0.27:
            kind, item, text = "search", None, f"{POISON} {chance.randrange(3)}"
        return Event(f"{self._name}-{self._number}", user or chance.choice(PEOPLE), kind, item, text, at)

    def record(self, *events: Event, commit: bool = True, hold: float = 0.0) -> bool:
        """Record events in one transaction until its fate is known; True: it was committed."""
        rollback = not commit
        while True:
            try:
                connection = self._connected()
                with connection.transaction(force_rollback=rollback):
                    for event in events:
                        record(connection, event)
                    if hold:
                        self.hurry.wait(hold)
            except psycopg.errors.InvalidParameterValue as problem:
                self.book.refuse(*events)
                if "in the future" not in str(problem):
                    self.book.failures.append(f"{self._name}: {problem}")
                return False
            except AWAY:
                self.book.retries += 1
                self._disconnect()
                time.sleep(0.02)
            else:
                (self.book.refuse if rollback else self.book.accept)(*events)
                return commit

    def one(self) -> None:
        self.record(self.event())

    def many(self) -> None:
        """A transaction, now and then of more events than a batch."""
        most = 8 if self._chance.random() < 0.8 else 60
        self.record(*(self.event() for _ in range(self._chance.randrange(2, most))))

    def copied(self) -> None:
        """Binary COPY, which has no retry: what died is asked for, as an application would by reading its own log."""
        events = [self.event() for _ in range(5)]
        rows = [(e.event_id, e.user_id, e.item_id, e.kind, e.text, e.happened_at) for e in events]
        columns = ["event_id", "user_id", "item_id", "kind", "text", "occurred_at"]
        types = ["text", "text", "text", "text", "text", "timestamptz"]
        try:
            with self._connected().transaction():
                copy_rows(self._connected(), "event", columns, types, rows)
        except AWAY:
            self._disconnect()
            self.record(*events)  # the same ids and times: nothing is doubled where the copy went through
        else:
            self.book.accept(*events)

    def undone(self) -> None:
        self.record(*(self.event() for _ in range(3)), commit=False)

    def held(self) -> None:
        """A transaction that stays open while others commit."""
        hold = self._chance.uniform(0.05, 0.4)
        self.record(self.event(), self.event(), hold=hold, commit=self._chance.random() < 0.8)

    def again(self) -> None:
        """A retry of what was accepted before, of any writer."""
        event = self.book.any_accepted(self._chance)
        if event:
            self.record(event)

    def a_day_late(self) -> None:
        self.record(self.event(ago=timedelta(days=1, seconds=self._chance.uniform(-60, 60))))

    def a_day_early(self) -> None:
        if self.record(self.event(ago=timedelta(days=-1))):
            self.book.failures.append(f"{self._name}: an event of tomorrow was accepted")

    def years_late(self) -> None:
        """Its partition may not be there yet."""
        self.record(self.event(ago=timedelta(days=self._chance.randrange(400, 9000))))

    def of_one_who_leaves(self) -> None:
        user = self._chance.choice(LEAVING)
        with self.book.alone(user):
            self.record(self.event(user))

    def _run(self) -> None:
        acts: list[tuple[Callable[[], None], float]] = [
            (self.one, 8), (self.many, 3), (self.copied, 1), (self.undone, 1), (self.held, 0.7), (self.again, 1),
            (self.a_day_late, 1), (self.a_day_early, 0.5), (self.years_late, 0.3), (self.of_one_who_leaves, 2),
        ]  # fmt: skip
        try:
            while not self.stop.is_set() and self._number < self.most:
                self._chance.choices([act for act, _ in acts], [weight for _, weight in acts])[0]()
                self.stop.wait(self._chance.expovariate(1 / self._pause))
        except BaseException as problem:
            self.book.failures.append(f"{self._name}: {problem!r}")
            raise

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self.settings, role="nearline_writer", autocommit=True)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None


def record(connection: Connection, event: Event) -> None:
    """Record one event."""
    connection.execute(
        "select nearline.record_event(%s, %s, %s, %s, happened_at => %s, with_id => %s)",
        (event.user_id, event.kind, event.item_id, event.text, event.happened_at, event.event_id),
    )


def erase(settings: Settings, book: Book, user: str) -> None:
    """Erase a person, again and again until it is known to be done."""
    with book.alone(user):
        while True:
            try:
                with connect(settings, autocommit=True) as connection:
                    connection.execute("select nearline.erase_user(%s)", (user,))
            except AWAY:
                time.sleep(0.02)
            else:
                book.erase(user)
                return


def ask_why(settings: Settings, user: str, item_id: str) -> None:
    """Ask once why somebody is shown an item, as an application does for a page: an error is the end of it."""
    with suppress(*AWAY), connect(settings, role="nearline_reader", autocommit=True) as connection:
        connection.execute("select * from nearline.explain(%s, %s)", (user, item_id))


def bring_item(settings: Settings, item_id: str) -> None:
    """Put an item into the catalogue that people may have touched before."""
    while True:
        try:
            with connect(settings, autocommit=True) as connection:
                connection.execute(
                    """insert into nearline_data.item (item_id, kind, title)
                       values (%s, 'page', 'A hiking page that came late') on conflict do nothing""",
                    (item_id,),
                )
        except AWAY:
            time.sleep(0.02)
        else:
            return
