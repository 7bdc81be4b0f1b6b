"""Draining: told of a commit, handed over without a gap, stopped in good order, followed to another version."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from psycopg.conninfo import make_conninfo

import refresh_interests
from nearline.adapters import drain
from nearline.adapters.drain import Drain
from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import Connection, connect
from nearline.adapters.stop import Stop
from nearline.adapters.version_tables import take_version
from nearline.errors import DatabaseError, DatabaseUnreachable
from nearline.settings import Settings
from small_shop import ITEMS, MeanOfHistory, open_shop

PATIENCE = 20.0
WAITING = """
    select count(*) from pg_locks k
    where k.locktype = 'advisory' and k.granted and k.mode = 'ShareLock' and k.objsubid = 2
      and k.classid = (hashtext('nearline waits')::bigint & 4294967295)::oid
      and k.database = (select oid from pg_database where datname = current_database())
"""


class Run:
    """A drain in a thread of its own."""

    def __init__(
        self, settings: Settings, model: MeanOfHistory | None = None, shard: int = 0, shard_count: int = 1
    ) -> None:
        self.stop = Stop()
        self.drain = Drain(
            settings, lambda version: model or MeanOfHistory(),
            deadline=time.monotonic() + 60.0, stop=self.stop, shard=shard, shard_count=shard_count,
        )  # fmt: skip
        self.thread = threading.Thread(target=self.drain.run)

    def __enter__(self) -> Run:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


def wait_for(connection: Connection, user: str, version: int = 1) -> float:
    """Seconds until somebody has a vector."""
    began = time.monotonic()
    while time.monotonic() < began + PATIENCE:
        if connection.execute(
            "select 1 from nearline_data.user_interest where user_id = %s and model_version = %s", (user, version)
        ).fetchone():
            return time.monotonic() - began
        time.sleep(0.005)
    raise AssertionError(f"{user} has no vector after {PATIENCE} s")


def record(connection: Connection, user: str) -> None:
    connection.execute("select nearline.record_event(%s, 'view', %s)", (user, ITEMS[0]))


def test_a_commit_wakes_it(settings: Settings, connection: Connection) -> None:
    open_shop(connection)
    with Run(settings):
        record(connection, "first")
        wait_for(connection, "first")
        time.sleep(0.3)  # nothing to do: it waits now
        record(connection, "second")
        assert wait_for(connection, "second") < 0.3, "told of the commit, and not at the next look"


def test_the_refreshes_of_all_shards_wait_and_are_told(
    settings: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "LOOK_SECONDS", PATIENCE / 2)
    open_shop(connection)
    shards: dict[int, list[str]] = {0: [], 1: []}
    for number in range(20):
        (shard,) = connection.execute("select nearline_data._shard_of(%s, 2)", (f"u{number}",)).fetchone() or (0,)
        shards[shard].append(f"u{number}")

    def both_wait() -> None:
        until = time.monotonic() + PATIENCE / 2
        while connection.execute(WAITING).fetchone() != (2,):
            assert time.monotonic() < until, "one keeps the other from waiting, which then looks again and again"
            time.sleep(0.01)

    with Run(settings, shard=0, shard_count=2) as one, Run(settings, shard=1, shard_count=2) as other:
        for first, second in zip(shards[0][:3], shards[1][:3], strict=True):
            for user in (first, second):
                both_wait()
                record(connection, user)
                assert wait_for(connection, user) < 1.0, "told of the commit"
        one.stop.set()
        other.stop.set()
        record(connection, "last")  # so that they need not wait for the end of their look


def test_without_notifications_it_looks(
    settings: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_shop(connection)
    with connect(settings, role=None, autocommit=True) as owner:
        owner.execute("alter table nearline_data.event disable trigger event_announces_itself")
    with Run(settings):
        for number in range(3):
            record(connection, f"u{number}")
            wait_for(connection, f"u{number}")


def test_the_next_run_takes_over_when_it_is_ready(settings: Settings, connection: Connection) -> None:
    open_shop(connection)
    is_loading, may_go_on = threading.Event(), threading.Event()

    class Slow(MeanOfHistory):
        def get_ready(self) -> None:
            is_loading.set()
            assert may_go_on.wait(PATIENCE)

    with Run(settings) as old:
        record(connection, "first")
        wait_for(connection, "first")
        with Run(settings, model=Slow()) as new:
            assert is_loading.wait(PATIENCE)
            record(connection, "second")
            wait_for(connection, "second")
            assert (old.drain.events, new.drain.events) == (2, 0), "the old one goes on meanwhile"
            may_go_on.set()
            old.thread.join(PATIENCE)
            assert not old.thread.is_alive()
            record(connection, "third")
            wait_for(connection, "third")
            assert (old.drain.events, new.drain.events) == (2, 1)


def test_it_follows_the_live_version(settings: Settings, connection: Connection) -> None:
    open_shop(connection)
    new = open_shop(connection, 2, live=False)
    with Run(settings):
        record(connection, "first")
        wait_for(connection, "first")
        new.catch_up_and(lambda: connection.execute("select nearline_data._promote(2, 'test', 'test')") and None)
        record(connection, "second")
        wait_for(connection, "second", version=2)


def test_a_run_that_is_asked_to_stop_ends_after_its_batch(settings: Settings, connection: Connection) -> None:
    open_shop(connection)
    record(connection, "first")

    class Asks(MeanOfHistory):
        def interests(self, histories):  # type: ignore[no-untyped-def]
            run.stop.set()
            return super().interests(histories)

    run = Run(settings, model=Asks())
    with run:
        run.thread.join(PATIENCE)
        assert not run.thread.is_alive()
    assert wait_for(connection, "first") < 1.0


def test_a_lost_connection_is_made_anew(settings: Settings, connection: Connection) -> None:
    open_shop(connection)
    with Run(settings) as run:
        record(connection, "first")
        wait_for(connection, "first")
        with connect(settings, role=None, autocommit=True) as owner:
            owner.execute(
                """select pg_terminate_backend(pid) from pg_stat_activity
                   where datname = current_database() and pid <> all (%s)""",
                ([owner.info.backend_pid, connection.info.backend_pid],),
            )
        record(connection, "second")
        wait_for(connection, "second")
        assert run.drain.events == 2


def test_a_database_that_stays_away_is_an_error_at_the_end(settings: Settings) -> None:
    nowhere = Settings(home=settings.home, dsn="host=/nowhere dbname=nothing")
    alone = Drain(
        nowhere, lambda version: MeanOfHistory(), deadline=time.monotonic() + 0.5, stop=Stop()
    )  # fmt: skip
    with pytest.raises(DatabaseUnreachable, match="cannot be reached"):
        alone.run()


def run_once(settings: Settings) -> Drain:
    once = Drain(
        settings, lambda version: MeanOfHistory(), deadline=time.monotonic(), stop=Stop(), wait_for_lock=0.0
    )  # fmt: skip
    once.run()
    return once


def test_a_run_that_stands_still_is_named_and_one_that_works_is_left_alone(
    settings: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "STANDSTILL_SECONDS", 0.5)
    open_shop(connection)
    long_ago = "now() - interval '2 minutes'"
    with connect(settings, autocommit=True) as gone, connect(settings, autocommit=True) as works:
        assert InterestLedger(gone, MeanOfHistory(), 1).shard.lock()
        record(connection, "first")
        connection.execute(f"update nearline_data.cursor set moved_at = {long_ago}".encode())
        assert run_once(settings).events == 0, "the event is new: the other run may be about to read it"
        connection.execute(f"update nearline_data.event set recorded_at = {long_ago}".encode())
        with pytest.raises(
            DatabaseError,
            match=rf"stands still since .* UTC: session {gone.info.backend_pid} .*waited for 0:02:0.*pg_terminate",
        ):
            run_once(settings)
        gone.close()
        take_version(works, 1)
        done = threading.Event()

        def work() -> None:
            while not done.is_set():
                with works.transaction():
                    works.execute("select pg_sleep(0.05)")

        working = threading.Thread(target=work)
        working.start()
        try:
            assert run_once(settings).events == 0
        finally:
            done.set()
            working.join()
    assert run_once(settings).events == 1


def test_a_restored_ledger_is_named_with_the_fix_which_helps(
    settings: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transactions of the server that the dump was taken from are far ahead of this one's."""
    open_shop(connection)
    record(connection, "before")
    assert run_once(settings).events == 1
    far = 10**9
    connection.execute(
        "update nearline_data.event set transaction_id = (transaction_id::text::bigint + %s)::text::xid8", (far,)
    )
    for table in ("cursor", "user_interest"):
        connection.execute(f"update nearline_data.{table} set position = '{far}:{far}:'".encode())
    record(connection, "first")
    with pytest.raises(
        DatabaseError, match=r"another server.* at transaction 1000000000, .*jobs/refresh_interests\.py --rebuild"
    ):
        run_once(settings)
    monkeypatch.setenv("NEARLINE_SHARDS", "2")
    monkeypatch.setattr(refresh_interests, "_load", lambda settings, version: MeanOfHistory())
    assert refresh_interests.main(["--rebuild"]) == 0
    wait_for(connection, "before")
    wait_for(connection, "first")
    record(connection, "second")
    for shard in ("0", "1"):
        assert refresh_interests.main(["--once", "--shard", shard]) == 0
    wait_for(connection, "second")
    freshness = connection.execute("select shard_count, backlog_events from nearline.freshness").fetchall()
    assert freshness == [(2, 0), (2, 0)]


@pytest.mark.parametrize(
    "change",
    [
        "update nearline_data.cursor set position = '1000000000:1000000000:'",
        "update nearline_data.event set transaction_id = '1000000000'",
        "update nearline_data.erased_user set transaction_id = '1000000000'",
    ],
)
def test_one_sign_of_another_server_is_enough(settings: Settings, connection: Connection, change: str) -> None:
    ledger = open_shop(connection)
    record(connection, "first")
    connection.execute("select nearline.erase_user('nobody')")
    ledger.catch_up()
    connection.execute(change.encode())
    with pytest.raises(DatabaseError, match="at transaction 1000000000, while this server is at"):
        run_once(settings)
    ledger.rebuild()
    record(connection, "second")
    assert run_once(settings).events > 0
    wait_for(connection, "second")


def test_the_server_is_told_when_a_machine_counts_as_gone(settings: Settings) -> None:
    """On a Unix socket Postgres takes the values and shows none; over TCP it would close the session with its locks."""
    for fallback in ({}, {"keepalives_idle": "7"}):
        with connect(replace(settings, dsn=make_conninfo(settings.dsn or "", **fallback))) as job:
            told = {option.keyword: option.val for option in job.pgconn.info}
            assert told[b"keepalives_idle"] == str(fallback.get("keepalives_idle", 30)).encode()
            assert told[b"tcp_user_timeout"] == b"60000"
