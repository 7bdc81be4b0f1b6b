"""A deploy beside those who work: who it waits for and for how long, who waits for it, and which logins may do it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from nearline.adapters import embedded_postgres, migrations
from nearline.adapters.migrations import deploy
from nearline.adapters.postgres import Connection, connect
from nearline.errors import DatabaseError
from nearline.settings import Settings
from small_shop import ITEMS, open_shop

STRONG_LOCKS = """
    select l.relation::regclass::text, l.mode
    from pg_locks l
    join pg_class c on c.oid = l.relation
    where l.pid = pg_backend_pid()
      and c.relnamespace in (select oid from pg_namespace where nspname in ('nearline', 'nearline_data'))
      and c.relkind in ('r', 'p')
      and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
"""
"""Locks of this session that keep others from writing."""


@pytest.fixture
def managed(tmp_path: Path) -> Iterator[Settings]:
    """A server of its own, as roles are a server's, and a login that owns a database and may make roles, no more."""
    settings = Settings(home=tmp_path / "managed")
    embedded_postgres.start(settings)
    with psycopg.connect(embedded_postgres.dsn(settings, "postgres"), autocommit=True) as admin:
        admin.execute("create role team login createrole")
        admin.execute("create database shop owner team")
    address = embedded_postgres.dsn(settings, "shop")
    with psycopg.connect(address, autocommit=True) as admin:
        admin.execute("create extension vector")
    yield replace(settings, dsn=make_conninfo(address, user="team"))
    embedded_postgres.stop(settings)


def test_a_login_that_owns_its_database_and_makes_roles_may_deploy(managed: Settings) -> None:
    assert len(deploy(managed)) > 10
    assert deploy(managed) == []
    with connect(managed, autocommit=True) as engine:
        open_shop(engine).step()
    with connect(managed, role="nearline_writer", autocommit=True) as writer:
        writer.execute("select nearline.record_event('ada', 'view', %s)", (ITEMS[0],))
    with connect(managed, role="nearline_reader", autocommit=True) as reader:
        found = reader.execute("select item_id from nearline.recommend('ada', 3)").fetchall()
        assert len(found) == 3
        assert reader.execute("show hnsw.ef_search").fetchone() == ("100",)


def test_a_deploy_with_nothing_new_keeps_nobody_from_recording(settings: Settings, connection: Connection) -> None:
    record = "select nearline.record_event(%s, 'view', 'a')"
    with connect(settings) as slow:
        slow.execute(record, ("slow",))  # and not committed
        deployed = threading.Thread(target=deploy, args=(settings,))
        deployed.start()
        connection.execute("set statement_timeout = '1s'")
        while deployed.is_alive():
            connection.execute(record, ("fast",))
        assert deploy(settings) == []


def test_a_deploy_with_nothing_new_locks_no_table(settings: Settings) -> None:
    with connect(settings, role=None) as owner:
        owner.execute("set local role nearline_owner")
        for path in sorted((migrations.sql_folder() / "functions").glob("*.sql")):
            owner.execute(path.read_bytes())
        assert owner.execute(STRONG_LOCKS).fetchall() == []
        owner.rollback()


@pytest.mark.parametrize(
    "change",
    [
        "drop trigger event_announces_itself on nearline_data.event",
        "drop trigger experiment_arm_has_a_control on nearline_data.experiment_arm",
        """create or replace trigger event_announces_itself before update on nearline_data.event
           for each statement execute function nearline_data._announce_events()""",
    ],
)
def test_a_trigger_that_is_missing_or_different_is_made(
    settings: Settings, connection: Connection, change: str
) -> None:
    triggers = "select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal and tgparentid = 0 order by 1"
    before = connection.execute(triggers).fetchall()
    assert len(before) == 8
    with connect(settings, role=None, autocommit=True) as owner:
        owner.execute(change.encode())
    deploy(settings)
    assert connection.execute(triggers).fetchall() == before


def test_a_deploy_that_cannot_have_its_lock_gives_up_and_says_who_has_it(
    settings: Settings, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sql"
    folder.mkdir()
    for name in ("roles.sql", "functions", "queries"):
        (folder / name).symlink_to(migrations.sql_folder() / name)
    (folder / "migrations").mkdir()
    for path in (migrations.sql_folder() / "migrations").glob("*.sql"):
        (folder / "migrations" / path.name).symlink_to(path)
    (folder / "migrations" / "9999_column.sql").write_text("alter table nearline_data.event add column more text")
    monkeypatch.setattr(migrations, "sql_folder", lambda: folder)
    monkeypatch.setattr(migrations, "LOCK_SECONDS", 0.5)
    monkeypatch.setattr(migrations, "TRIES", 2)
    monkeypatch.setattr(migrations, "PAUSE_SECONDS", 0.1)
    with connect(settings) as slow:
        slow.execute("set application_name = 'report'")
        slow.execute("select nearline.record_event('slow', 'view', 'a')")
        with pytest.raises(DatabaseError) as caught:
            deploy(settings)
        assert re.match(
            rf"sql/migrations/9999_column\.sql waited 0\.5 s .*In the way: pid {slow.info.backend_pid} of user "
            r"postgres \(report\), in a transaction for 00:00:\d\d\. .*Fix: end that transaction",
            str(caught.value),
        )
        connection.execute("select nearline.record_event('fast', 'view', 'a')")
        slow.commit()
    assert deploy(settings) == ["9999_column.sql"]
