"""The schema deploys once, twice, and by two at a time; every object explains itself; roles see what they should."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from nearline.adapters import embedded_postgres, migrations
from nearline.adapters.migrations import deploy
from nearline.adapters.postgres import Connection, connect
from nearline.errors import DatabaseError
from nearline.settings import Settings

CATALOGUE = """
    select 'column ' || attrelid::regclass || '.' || attname || ' ' || format_type(atttypid, atttypmod) || attnotnull
    from pg_attribute join pg_class c on c.oid = attrelid
    where c.relnamespace in ('nearline'::regnamespace, 'nearline_data'::regnamespace) and attnum > 0
    union all
    select 'function ' || oid::regprocedure || ' ' || md5(pg_get_functiondef(oid))
    from pg_proc where pronamespace in ('nearline'::regnamespace, 'nearline_data'::regnamespace)
    union all
    select 'index ' || indexname || ' ' || indexdef from pg_indexes where schemaname like 'nearline%'
    order by 1
"""


def test_migrating_twice_equals_once(settings: Settings, connection: Connection) -> None:
    before = connection.execute(CATALOGUE).fetchall()
    assert deploy(settings) == []
    assert connection.execute(CATALOGUE).fetchall() == before
    assert len(before) > 100


def test_two_deployers_take_turns(server: Settings, settings: Settings) -> None:
    with psycopg.connect(embedded_postgres.dsn(server, "postgres"), autocommit=True) as admin:
        admin.execute("create database test_two_deployers")
    fresh = replace(settings, dsn=embedded_postgres.dsn(server, "test_two_deployers"))
    with ThreadPoolExecutor(2) as pool:
        ran = [future.result() for future in [pool.submit(deploy, fresh), pool.submit(deploy, fresh)]]
    assert sorted(map(len, ran)) == [0, len(list((migrations.sql_folder() / "migrations").glob("*.sql")))]
    with psycopg.connect(embedded_postgres.dsn(server, "postgres"), autocommit=True) as admin:
        admin.execute("drop database test_two_deployers with (force)")


def test_a_changed_body_is_an_error(settings: Settings, connection: Connection) -> None:
    with connect(settings, role=None, autocommit=True) as owner:
        owner.execute("update nearline_data.migration set checksum = 'another' where name = '0001_schemas.sql'")
    with pytest.raises(DatabaseError, match=r"0001_schemas\.sql: expected the body that ran.*new migration"):
        deploy(settings)


def test_a_failed_migration_leaves_nothing(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "sql"
    (folder / "migrations").mkdir(parents=True)
    (folder / "functions").mkdir()
    (folder / "roles.sql").write_text("select 1")
    for path in (migrations.sql_folder() / "migrations").glob("*.sql"):
        (folder / "migrations" / path.name).write_text(path.read_text())
    (folder / "migrations" / "9999_broken.sql").write_text("create table nearline_data.half (id int); select 1 / 0;")
    monkeypatch.setattr(migrations, "sql_folder", lambda: folder)
    with pytest.raises(DatabaseError, match=r"9999_broken\.sql failed: division by zero"):
        deploy(settings)
    with connect(settings, role=None) as connection:
        assert connection.execute("select to_regclass('nearline_data.half')").fetchone() == (None,)


def test_every_object_has_a_comment(connection: Connection) -> None:
    silent = connection.execute(
        """
        select c.oid::regclass::text from pg_class c
        where c.relnamespace in ('nearline'::regnamespace, 'nearline_data'::regnamespace)
          and c.relkind in ('r', 'p', 'v', 'S') and obj_description(c.oid, 'pg_class') is null
        union all
        select tgrelid::regclass || '.' || tgname from pg_trigger
        where not tgisinternal and obj_description(oid, 'pg_trigger') is null
        union all
        select c.oid::regclass || '.' || a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
        where c.relnamespace in ('nearline'::regnamespace, 'nearline_data'::regnamespace)
          and c.relkind in ('r', 'p', 'v') and not c.relispartition and a.attnum > 0 and not a.attisdropped
          and col_description(c.oid, a.attnum) is null
        union all
        select p.oid::regprocedure::text from pg_proc p
        where p.pronamespace in ('nearline'::regnamespace, 'nearline_data'::regnamespace)
          and obj_description(p.oid, 'pg_proc') is null
        union all
        select nspname::text from pg_namespace
        where nspname like 'nearline%' and obj_description(oid, 'pg_namespace') is null
        union all
        select indexrelid::regclass::text from pg_index
        join pg_class c on c.oid = indrelid
        where c.relnamespace = 'nearline_data'::regnamespace and not indisprimary and not c.relispartition
          and obj_description(indexrelid, 'pg_class') is null
        union all
        select rolname::text from pg_roles
        where rolname like 'nearline%' and shobj_description(oid, 'pg_authid') is null
        """
    ).fetchall()
    assert silent == []


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (
            "nearline_reader",
            {"recommend", "recommend_per_kind", "recommend_for_many", "recommend_for_session"}
            | {"similar_items", "trending", "recent_events", "interests", "lasting_interests", "explain", "_shard_of"}
            | {"performance_between", "strategy_of", "experiment_result", "plan"},
        ),
        ("nearline_writer", {"record_event", "record_exposure", "forget_event", "set_interest", "strategy_of"}),
    ],
)
def test_roles_may_call_what_is_theirs_and_nothing_else(connection: Connection, role: str, allowed: set[str]) -> None:
    callable_ = connection.execute(
        """select p.proname from pg_proc p
           where p.pronamespace in ('nearline'::regnamespace, 'nearline_data'::regnamespace)
             and has_function_privilege(%s, p.oid, 'execute')""",
        (role,),
    ).fetchall()
    assert {name for (name,) in callable_} == allowed


def test_a_writer_may_insert_what_an_event_says_and_nothing_else(settings: Settings, connection: Connection) -> None:
    with connect(settings, role=None, autocommit=True) as owner:
        owner.execute("grant insert on nearline_data.event to nearline_writer")  # as versions before had it
    deploy(settings)
    may = connection.execute(
        """select c.relname::text, a.attname::text, p.privilege
           from pg_class c
           join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
           cross join (values ('select'), ('insert'), ('update')) as p (privilege)
           where c.relnamespace in ('nearline'::regnamespace, 'nearline_data'::regnamespace)
             and c.relkind in ('r', 'p', 'v')
             and has_column_privilege('nearline_writer', c.oid, a.attnum, p.privilege)"""
    ).fetchall()
    columns = {"event_id", "user_id", "item_id", "kind", "text", "value", "attributes", "occurred_at"}
    assert set(may) == {("event", column, "insert") for column in columns}


def test_grants_are_these_and_no_others(connection: Connection) -> None:
    """The golden list: who may do what with which schema, table, view, sequence and function; columns are above."""
    granted = connection.execute(
        """
        with granted as (
            select 'schema' as of, n.nspname::text as name, n.nspowner as owner, n.nspacl as acl
            from pg_namespace n where n.nspname like 'nearline%'
            union all
            select 'relation', c.relname, c.relowner, c.relacl
            from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where n.nspname like 'nearline%' and c.relkind in ('r', 'p', 'v', 'm', 'S') and not c.relispartition
            union all
            select 'function', p.proname, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
            from pg_proc p join pg_namespace n on n.oid = p.pronamespace
            where n.nspname like 'nearline%'
        )
        select g.of, g.name, case a.grantee when 0 then 'public' else a.grantee::regrole::text end, a.privilege_type
        from granted g cross join lateral aclexplode(g.acl) a
        where a.grantee <> g.owner
        """
    ).fetchall()
    held: dict[tuple[str, str], dict[str, set[str]]] = {}
    for of, name, role, privilege in granted:
        held.setdefault((of, role.removeprefix("nearline_")), {}).setdefault(name, set()).add(privilege.lower())
    functions = {role: set(held.pop(("function", role))) for role in ("reader", "writer", "engine")}
    assert held.pop(("schema", "reader")) == {"nearline": {"usage"}}
    assert held.pop(("schema", "writer")) == {"nearline": {"usage"}, "nearline_data": {"usage"}}
    assert held.pop(("schema", "engine")) == {
        "nearline": {"usage"}, "nearline_data": {"usage"}, "nearline_load": {"usage", "create"},
    }  # fmt: skip
    views = ["freshness", "live_model", "promotions", "versions", "judgements", "performance"]
    assert held.pop(("relation", "reader")) == {view: {"select"} for view in views}
    everything = {"select", "insert", "update", "delete"}
    less = {"migration": {"select"}, "promotion": {"select"}, "live_version": {"select"}}
    less |= {"experiment": everything - {"update"}, "experiment_arm": everything - {"update"}}
    tables = {
        name
        for (name,) in connection.execute(
            "select relname::text from pg_class where relnamespace = 'nearline_data'::regnamespace"
            " and relkind in ('r', 'p', 'v', 'm') and not relispartition"
        )
    }
    assert held.pop(("relation", "engine")) == {table: less.get(table, everything) for table in tables}
    assert held == {}, "to nobody else"
    theirs = {
        name
        for (name,) in connection.execute(
            "select proname::text from pg_proc where pronamespace = 'nearline_data'::regnamespace"
        )
    }
    assert functions["engine"] == theirs | {"erase_user", "try_rules"}
    assert not functions["reader"] & functions["writer"] - {"strategy_of"}


def test_the_engine_puts_nothing_beside_the_functions(settings: Settings) -> None:
    """A function of the owner would call one of the same name whose arguments fit better."""
    with connect(settings, role="nearline_engine", autocommit=True) as engine:
        for schema in ("nearline", "nearline_data"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                engine.execute(
                    f"create function {schema}._version(as_of_model text) returns integer language sql return 1"
                )
        engine.execute("create table nearline_load.some (n integer)")
        engine.execute("drop table nearline_load.some")


@pytest.mark.parametrize("table", ["event", "user_interest", "item", "rejected_row", "exposure"])
def test_a_reader_sees_no_table(settings: Settings, table: str) -> None:
    with (
        connect(settings, role="nearline_reader") as reader,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        reader.execute(f"select * from nearline_data.{table}")


def test_a_stopped_postgres_is_named_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"cannot be reached.*make up"):
        connect(Settings(home=tmp_path))
    with pytest.raises(DatabaseError, match=r"127\.0\.0\.1, database shop cannot be reached") as caught:
        connect(Settings(home=tmp_path, dsn="postgresql://someone:hush@127.0.0.1:1/shop"))
    assert "hush" not in str(caught.value)


def test_a_database_without_the_schema_is_named_with_the_fix(server: Settings, settings: Settings) -> None:
    with pytest.raises(DatabaseError, match="make migrate"):
        connect(replace(settings, dsn=embedded_postgres.dsn(server, "postgres")))


def test_an_embedding_of_another_dimension_is_refused(connection: Connection) -> None:
    connection.execute("select nearline_data._create_version_partitions(9)")
    with pytest.raises(psycopg.errors.DataException, match="expected 128 dimensions, not 3"):
        connection.execute("insert into nearline_data.item_embedding values (9, 'a', 'page', '[1,2,3]')")
