"""Partitions are dropped beside readers: who comes is answered, who is in the way is named, a later try succeeds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

import archive_events
from nearline.adapters import patient_drop
from nearline.adapters.postgres import Connection, connect, queries
from nearline.adapters.version_tables import PARTS, drop_past_use, drop_tables, make_tables
from nearline.errors import VersionTaken
from nearline.settings import Settings
from small_shop import open_shop

ANSWERED = 2.0
"""Seconds within which a reader is answered, whatever is being dropped."""
OLD = "event_2001"


@pytest.fixture
def shop(connection: Connection) -> Connection:
    """Version 2 is live, version 1 may be dropped, and 2001 has a partition with three events."""
    for version in (1, 2):
        open_shop(connection, version)
    for number in range(3):
        connection.execute(
            "select nearline.record_event('u', 'view', 'hiking-page-1', happened_at => %s)",
            (f"2001-01-0{number + 1}Z",),
        )
    return connection


@contextmanager
def long_reader(settings: Settings, *tables: str) -> Iterator[Connection]:
    """A transaction that has read tables, and stays open: a dump, or somebody's report."""
    with connect(settings, role=None) as reader:
        reader.execute("set application_name = 'pg_dump'")
        for table in tables:
            reader.execute(f"select from nearline_data.{table} limit 1")
        yield reader


def archived(connection: Connection, rows: int) -> dict[str, object]:
    """What the archive says of the old partition as it is, but for the number of its rows."""
    span = {"from_time": "2001-01-01Z", "until_time": "2002-01-01Z"}
    _, found = connection.execute(queries("archive")["content"], span).fetchone() or (None, 0)
    return {"partition_name": OLD, "archived_rows": rows, "archived_ids": found}


@contextmanager
def working(settings: Settings, work: str) -> Iterator[list[BaseException]]:
    """A thread at a drop that waits for a lock; what it raised is there after the ``with``."""
    raised: list[BaseException] = []

    def run() -> None:
        with connect(settings, autocommit=True) as at_work:
            try:
                if work == "archive":
                    values = archived(at_work, 3)
                    patient_drop.drop_when_free(at_work, queries("archive")["drop_partition"], values)
                else:
                    drop_tables(at_work, 1)
            except BaseException as problem:
                raised.append(problem)

    thread = threading.Thread(target=run)
    thread.start()
    with connect(settings, role=None, autocommit=True) as watch:
        while not watch.execute(
            "select from pg_locks where not granted and mode = 'AccessExclusiveLock' and database ="
            " (select oid from pg_database where datname = current_database())"
        ).fetchall():
            assert thread.is_alive(), raised
            time.sleep(0.01)
    yield raised
    thread.join()


@pytest.mark.parametrize(("work", "table"), [("version", "user_interest"), ("version", "item_embedding"),
                                             ("archive", "event")])  # fmt: skip
def test_readers_pass_a_drop_that_waits_and_it_is_done_in_the_end(
    settings: Settings, shop: Connection, work: str, table: str
) -> None:
    with long_reader(settings, table) as holder, working(settings, work) as raised:
        shop.execute("set statement_timeout = '10s'")
        began = time.monotonic()
        assert shop.execute("select count(*) from nearline.recommend('u')").fetchone() != (0,)
        assert time.monotonic() - began < ANSWERED
        holder.rollback()
    assert raised == []
    left = shop.execute(
        "select to_regclass(n) is not null from unnest(%s::text[]) n",
        ([f"nearline_data.{part}_v1" for part in PARTS] if work == "version" else [f"nearline_data.{OLD}"],),
    ).fetchall()
    assert {there for (there,) in left} == {False}


def test_what_stays_in_use_is_left_for_the_next_run(
    settings: Settings, shop: Connection, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patient_drop, "PAUSE_SECONDS", 0.1)
    state = "select state from nearline.versions where model_version = 1"
    with long_reader(settings, "item_transition") as holder:
        assert drop_past_use(shop, 0) == []
        (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert said.startswith("version 1 stays until the next run: item_transition_v1 is in use by pg_dump of ")
        assert f"process {holder.info.backend_pid}" in said
        with pytest.raises(VersionTaken, match=r"item_transition_v1 is in use by pg_dump .*Fix: wait"):
            make_tables(shop, 1)
        assert shop.execute(state).fetchone() != ("live",), "half of it is gone, and nobody can publish it"
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            shop.execute("select nearline_data._promote(1, 'test', 'test')")
    shop.execute("update nearline_data.model_version set created_at = created_at - interval '2 days'")
    with connect(settings, autocommit=True) as next_run:
        shop.close()  # and with it the lock of the version
        assert drop_past_use(next_run, 0) == [1]
        assert next_run.execute(state).fetchone() == ("dropped",)


def test_an_autovacuum_gives_way_to_a_drop_before_readers_wait(settings: Settings, shop: Connection) -> None:
    """Its lock is that of `vacuum` and `analyze`: the drop waits for it where it is in nobody's way."""
    with connect(settings, role=None) as vacuum:
        vacuum.execute("lock table only nearline_data.item_embedding_v1 in share update exclusive mode")
        drop = threading.Thread(target=lambda: drop_tables(shop, 1))
        drop.start()
        with connect(settings, autocommit=True) as reader:
            for _ in range(15):
                began = time.monotonic()
                reader.execute("select count(*) from nearline.recommend('u')")
                assert time.monotonic() - began < 0.5
                time.sleep(0.1)
        vacuum.rollback()
        drop.join()
    assert shop.execute("select to_regclass('nearline_data.item_embedding_v1')").fetchone() == (None,)


def test_the_archive_leaves_what_is_in_use_for_the_next_run(
    settings: Settings,
    shop: Connection,
    spark: Any,  # the session of the tests is taken
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patient_drop, "PAUSE_SECONDS", 0.1)
    shop.execute("select nearline.record_event('u', 'view', 'hiking-page-1')")
    there = f"select to_regclass('nearline_data.{OLD}') is not null"
    with long_reader(settings, "event"):
        assert archive_events.main([]) == 0
    assert shop.execute(there).fetchone() == (True,)
    (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"{OLD} stays until the next run: {OLD} is in use by pg_dump of " in said
    assert archive_events.main([]) == 0
    assert shop.execute(there).fetchone() == (False,)


def test_an_event_that_comes_while_the_archive_is_counted_is_kept(settings: Settings, shop: Connection) -> None:
    """It waits for the count, holding the parent: neither may be ended for that, and the partition stays."""
    late = "select nearline.record_event('late', 'view', 'hiking-page-1', happened_at => '2001-06-01Z')"
    failed: list[BaseException] = []

    def record() -> None:
        try:
            with connect(settings, autocommit=True) as writer:
                writer.execute(late)
        except BaseException as problem:
            failed.append(problem)

    with connect(settings) as archive:
        archive.execute("set local role nearline_owner")
        archive.execute(f"lock table nearline_data.{OLD} in share mode")
        writing = threading.Thread(target=record)
        writing.start()
        while not shop.execute(
            "select from pg_locks where not granted and relation = %s::regclass", (f"nearline_data.{OLD}",)
        ).fetchall():
            time.sleep(0.01)
        with pytest.raises(psycopg.errors.SerializationFailure, match="somebody waits to change"):
            archive.execute(queries("archive")["drop_partition"], archived(archive, 3))
        archive.rollback()
        writing.join()
    assert failed == []
    with pytest.raises(psycopg.errors.SerializationFailure, match="has 4 rows, but 3 were archived"):
        shop.execute(queries("archive")["drop_partition"], archived(shop, 3))
    # One is taken back, and there are as many as were archived: the one that came late is not among them.
    before = archived(shop, 4)
    shop.execute("select nearline.forget_event('u', min(event_id)) from nearline_data.event where user_id = 'u'")
    shop.execute(late)
    with pytest.raises(psycopg.errors.SerializationFailure, match="has other rows than were archived"):
        shop.execute(queries("archive")["drop_partition"], before)
    assert shop.execute("select count(*) from nearline_data.event").fetchone() == (4,)


def test_partitions_are_added_beside_long_readers_and_writers(settings: Settings, shop: Connection) -> None:
    shop.execute("set lock_timeout = '500ms'")
    with long_reader(settings, "event", *PARTS) as holder:
        holder.execute("select nearline.record_event('u', 'view', 'hiking-page-1')")
        holder.execute("update nearline_data.user_interest set event_count = event_count")
        shop.execute("select nearline.record_event('u', 'view', 'hiking-page-1', happened_at => '2003-01-01Z')")
        shop.execute("select nearline_data._create_version_partitions(3)")
    newest = "select count(*) from nearline_data.event where occurred_at = '2003-01-01Z'"
    assert shop.execute(newest).fetchone() == (1,)
