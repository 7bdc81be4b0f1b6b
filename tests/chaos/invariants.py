"""What must hold whatever failed, computed from the ledger alone and in the plainest way."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chaos.writers import AWAY, LEAVING, Book
from nearline.adapters.postgres import Connection, connect
from nearline.core.behaviour import History
from nearline.core.blend import scaled
from nearline.core.interest import DIM
from nearline.settings import Settings
from small_shop import MeanOfHistory


@dataclass
class Findings:
    """What was counted, and all that is wrong in words."""

    accepted: int = 0
    lost: int = 0
    doubled: int = 0
    stale: int = 0
    orphans: int = 0
    read_again: int = 0
    """Counted more than once where that is allowed: people were divided anew."""
    measured: int = 0
    """What single events contribute, measured for nearline.explain and compared with the ledger."""
    problems: list[str] = field(default_factory=list)

    def note(self, what: str, found: Sequence[Any] | int) -> int:
        """Keep a problem, where there is one; returns how often."""
        count = found if isinstance(found, int) else len(found)
        if count:
            self.problems.append(f"{what}: {found if isinstance(found, int) else list(found)[:5]}")
        return count


def check(
    connection: Connection, book: Book, *, began: dict[int, str] | None = None, divided_anew: bool = False
) -> Findings:
    """Compare database and book, once nothing runs any more and a last run has read what there was.

    ``began``: where the cursor of a version started, if not with an empty ledger. ``divided_anew``: the number of
    shards was changed, after which some events may be read, and so counted, twice.
    """
    found = Findings(accepted=len(book.accepted))
    for failure in book.failures:
        found.note("a writer", [failure])
    _check_ledger(connection, book, found)
    _check_counts(connection, book, found, began or {}, divided_anew)
    _check_vectors(connection, found)
    _check_measured(connection, found)
    _check_orphans(connection, book, found)
    return found


def _check_ledger(connection: Connection, book: Book, found: Findings) -> None:
    """Every accepted event is there once and as it was sent; nothing else is."""
    rows = connection.execute(
        "select event_id, user_id, kind, item_id, text, occurred_at from nearline_data.event"
    ).fetchall()
    times = Counter(row[0] for row in rows)
    found.lost += found.note("accepted, and not in the ledger", sorted(book.accepted.keys() - times.keys()))
    found.doubled += found.note("in the ledger more than once", [one for one, count in times.items() if count > 1])
    found.doubled += found.note(
        "in the ledger, though its writer was told otherwise", sorted(times.keys() & (book.refused | book.erased))
    )
    known = book.accepted.keys() | book.refused | book.erased
    found.doubled += found.note("in the ledger, and nobody sent it", sorted(times.keys() - known))
    sent = {
        (e.event_id, e.user_id, e.kind, e.item_id, e.text, e.happened_at) for e in book.accepted.values()
    }  # fmt: skip
    found.note("in the ledger otherwise than it was sent", sorted(str(row) for row in rows if row[0] in book.accepted
                                                                and row not in sent))  # fmt: skip


def _check_counts(
    connection: Connection, book: Book, found: Findings, began: dict[int, str], divided_anew: bool
) -> None:
    """All was read, and each version has counted what its cursors passed, once."""
    unread = connection.execute(
        """select count(*)
           from nearline_data.event e
           join nearline_data.live_version l on true
           left join nearline_data.cursor c
               on c.model_version = l.model_version and c.shard = nearline_data._shard_of(e.user_id, c.shard_count)
           where c.position is null or not pg_visible_in_snapshot(e.transaction_id, c.position)"""
    ).fetchone()
    assert unread is not None
    found.lost += found.note("events are behind no cursor of the live version", unread[0])
    for (version,) in connection.execute("select distinct model_version from nearline_data.cursor").fetchall():
        row = connection.execute(
            """select count(*)
               from nearline_data.event e
               join nearline_data.cursor c
                   on c.model_version = %(version)s and c.shard = nearline_data._shard_of(e.user_id, c.shard_count)
               where pg_visible_in_snapshot(e.transaction_id, c.position)
                 and not pg_visible_in_snapshot(e.transaction_id, %(began)s::pg_snapshot)""",
            {"version": version, "began": began.get(version, "3:3:")},
        ).fetchone()
        counted = connection.execute(
            """select coalesce(sum(b.event_count), 0), coalesce(sum((select sum(n) from unnest(b.lag_events) n)), 0)
               from nearline_data.refresh_batch b where b.model_version = %s""",
            (version,),
        ).fetchone()
        assert row is not None
        assert counted is not None
        # Events of people who left may have been counted before they were erased.
        least, most = row[0], row[0] + len(book.erased)
        if counted[0] != counted[1]:
            found.note("events counted, and lags kept, differ", [f"version {version}: {counted}"])
        found.lost += found.note(f"events that version {version} has not counted", max(least - counted[0], 0))
        if divided_anew:
            found.read_again += max(counted[0] - most, 0)
        else:
            found.doubled += found.note(f"events that version {version} counted again", max(counted[0] - most, 0))


def _check_vectors(connection: Connection, found: Findings) -> None:
    """Vectors of the live version equal, bit for bit, those that follow from the ledger."""
    live = connection.execute("select model_version from nearline_data.live_version").fetchone()
    assert live is not None
    expected = vectors_from_ledger(connection, live[0])
    stored = {
        row[0]: row[1:]
        for row in connection.execute(
            """select user_id, vector, event_count, extract(epoch from newest_event_at)::double precision
               from nearline_data.user_interest where model_version = %s""",
            (live[0],),
        )
    }
    found.stale += found.note("people without a vector", sorted(expected.keys() - stored.keys()))
    found.orphans += found.note("vectors of nobody", sorted(stored.keys() - expected.keys()))
    both = sorted(expected.keys() & stored.keys())
    differ = [user for user in both if not np.array_equal(stored[user][0], expected[user][0])]
    found.stale += found.note("vectors that the ledger does not give", differ)
    differ = [user for user in both if stored[user][1:] != expected[user][1:] and user not in differ]
    found.stale += found.note("vectors with another count or time than the ledger's", differ)


def _check_measured(connection: Connection, found: Findings) -> None:
    """What was measured for nearline.explain, and counts, is what the ledger gives without that event: a sample."""
    measured = connection.execute(
        """select w.user_id, w.event_id, w.vector, w.model_version
           from nearline_data.live_version l
           join nearline_data.interest_without w on w.model_version = l.model_version
           join nearline_data.user_interest u
               on u.model_version = w.model_version and u.user_id = w.user_id and u.updated_at = w.interest_at
           order by md5(w.event_id)
           limit 10"""
    ).fetchall()
    found.measured += len(measured)
    for user, event_id, vector, version in measured:
        expected = vectors_from_ledger(connection, version, without=event_id).get(user, (None,))[0]
        if not np.array_equal(vector, expected):
            found.stale += found.note("measured without an event otherwise than the ledger gives", [(user, event_id)])


def vectors_from_ledger(
    connection: Connection, version: int, *, without: str = ""
) -> dict[str, tuple[np.ndarray, int, float]]:
    """Everybody's vector, number of events and time of the newest: one person after the other, in plain Python.

    ``without``: the id of an event that is left out.
    """
    model = MeanOfHistory()
    row = connection.execute(
        "select score_covariance from nearline_data.model_version where model_version = %s", (version,)
    ).fetchone()
    assert row is not None
    covariance = np.asarray(row[0], np.float64).reshape(DIM, DIM)
    items: dict[str, np.ndarray] = dict(
        connection.execute(
            "select item_id, vector from nearline_data.item_embedding where model_version = %s", (version,)
        ).fetchall()
    )
    events: dict[str, list[tuple[Any, ...]]] = {}
    for user, *event in connection.execute(
        """select user_id, kind, item_id, text, extract(epoch from occurred_at)::double precision
           from nearline_data.event where event_id <> %s order by occurred_at, event_id""",
        (without,),
    ):
        events.setdefault(user, []).append(tuple(event))
    found = {}
    for user, theirs in events.items():
        vectors, kinds = [], []
        for kind, item, text, _ in theirs[-model.history_length :]:
            words = model.query_vectors([text[:500]])[0] if text else None
            if item is None:
                vector = words
            elif words is None or item not in items:
                vector = items.get(item)
            else:
                vector = (items[item] + words) * np.float32(0.5)
            if vector is not None:
                vectors.append(vector)
                kinds.append(kind)
        if vectors:
            interest = model.interests([History(np.stack(vectors), kinds)])
            found[user] = (scaled(interest, covariance)[0], len(vectors), theirs[-1][3])
    return found


def _check_orphans(connection: Connection, book: Book, found: Findings) -> None:
    """Nothing is left of those who left, of what died, or of what was only needed on the way."""
    gone = sorted(book.people_erased)
    for what, question in (
        # Of the live version: nobody drains the others. See `test_an_erased_person_is_in_no_older_version`.
        ("vectors of people without events", "select user_id from nearline_data.user_interest u "
         "join nearline_data.live_version l using (model_version) where "
         "not exists (select from nearline_data.event e where e.user_id = u.user_id)"),
        ("waiting rows of people without events", "select user_id, item_id from nearline_data.waiting_event w "
         "join nearline_data.live_version l using (model_version) where "
         "not exists (select from nearline_data.event e where e.user_id = w.user_id)"),
        ("waiting rows for items that have a vector", "select w.user_id, w.item_id from nearline_data.waiting_event w "
         "join nearline_data.item_embedding i using (model_version, item_id) "
         "join nearline_data.live_version l using (model_version)"),
        ("people who were asked about and not taken", "select user_id from nearline_data.explanation_wanted"),
        ("measurements of people without events", "select user_id, event_id from nearline_data.interest_without w "
         "where not exists (select from nearline_data.event e where e.user_id = w.user_id)"),
        ("prepared transactions", "select gid from pg_prepared_xacts"),
        ("advisory locks", "select classid, objid from pg_locks where locktype = 'advisory' and database = "
         "(select oid from pg_database where datname = current_database())"),
        ("tables that a job made and left", "select c.relname from pg_class c join pg_roles r on r.oid = c.relowner "
         "where c.relnamespace = 'nearline_data'::regnamespace and r.rolname <> 'nearline_owner'"),
    ):  # fmt: skip
        found.orphans += found.note(what, connection.execute(question.encode()).fetchall())
    # Who has events once more since then is a person like any other.
    left = connection.execute(
        """select w.user_id, w.item_id from nearline_data.waiting_event w
           join nearline_data.live_version l using (model_version)
           where w.user_id = any (%s)
             and not exists (
                 select from nearline_data.event e where e.user_id = w.user_id and e.item_id = w.item_id
             )""",
        (gone,),
    ).fetchall()
    found.orphans += found.note("waiting rows of erased people", left)
    forgotten = connection.execute(
        """select e.user_id, e.item_id
           from (
               select n.user_id, n.item_id
                    , row_number() over (partition by n.user_id order by n.occurred_at desc, n.event_id desc) as place
               from nearline_data.event n
           ) e
           join nearline_data.live_version l on true
           where e.place <= 50
             and e.item_id is not null
             and not exists (select from nearline_data.item_embedding i
                             where i.model_version = l.model_version and i.item_id = e.item_id)
             and not exists (select from nearline_data.waiting_event w
                             where w.model_version = l.model_version
                               and w.user_id = e.user_id and w.item_id = e.item_id)"""
    ).fetchall()
    found.stale += found.note("people who wait for an item without a row that says so", forgotten)


class Sampler:
    """Looks, again and again while everything runs, at what no moment may show.

    No position has a transaction that is still open; no vector that is served forgets an event that it knew, neither
    when people are divided anew nor when another version goes live.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.samples = self.open_seen = 0
        self.wrong: list[str] = []
        self._known: dict[str, set[str]] = {}
        self._stop, self._began = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        self._began.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(20)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with connect(self.settings, autocommit=True) as connection:
                    while not self._stop.is_set():
                        self._look_at_positions(connection)
                        self._look_at_vectors(connection)
                        self.samples += 1
                        self._began.set()
                        self._stop.wait(0.02)
            except AWAY:
                self._stop.wait(0.05)

    def _look_at_positions(self, connection: Connection) -> None:
        rows = connection.execute(
            """with place as (
                   select 'the cursor' as of, c.position from nearline_data.cursor c
                   union all
                   select u.user_id, u.position from nearline_data.user_interest u
               )
               select x.id, p.of, p.position::text, pg_current_snapshot()::text
               from pg_snapshot_xip(pg_current_snapshot()) as x (id)
               left join place p on pg_visible_in_snapshot(x.id, p.position)"""
        ).fetchall()
        self.open_seen += bool(rows)
        self.wrong += [f"{of} at {place} has {one}, which is open: {now}" for one, of, place, now in rows if of]

    def _look_at_vectors(self, connection: Connection) -> None:
        rows = connection.execute(
            """select u.user_id, array_agg(e.event_id) from nearline_data.live_version l
               join nearline_data.user_interest u on u.model_version = l.model_version
               join nearline_data.event e
                   on e.user_id = u.user_id and pg_visible_in_snapshot(e.transaction_id, u.position)
               where u.user_id <> all (%s)
               group by u.user_id""",
            (LEAVING,),
        ).fetchall()
        knows = {user: set(events) for user, events in rows}
        for user, events in self._known.items():
            if forgotten := events - knows.get(user, set()):
                self.wrong.append(f"the vector of {user} has forgotten {sorted(forgotten)[:3]}")
        self._known = knows
