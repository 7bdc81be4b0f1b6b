"""The contract through a pooler in transaction mode: each transaction may meet another server connection.

What such a pooler does is done here by hand: one client's transactions take turns on several connections, which are
reset with DISCARD ALL in between, and statements are prepared on some connections and not on others. Where PgBouncer is
installed it is asked too.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from application_login import application_login
from nearline.adapters.migrations import deploy
from nearline.adapters.postgres import Connection, connect, sql_folder
from nearline.settings import Settings
from small_shop import ITEMS, open_shop

SESSION_STATE = """
    select 'setting', s.name || ' = ' || s.setting from pg_settings s where s.source = 'session'
    union all select 'prepared statement', p.name from pg_prepared_statements p
    union all select 'cursor', c.name from pg_cursors c where c.is_holdable
    union all select 'channel', l from pg_listening_channels() l
    union all select 'advisory lock', k.objid::text from pg_locks k
        where k.pid = pg_backend_pid() and k.locktype = 'advisory'
    union all select 'temporary table', c.relname from pg_class c where c.relnamespace = pg_my_temp_schema()
    union all select 'role', current_user where current_user <> session_user
"""
VALUES: dict[str, Any] = {
    "for_user": "u", "of_user": "u", "to_user": "u", "for_users": ["u"], "which_event": "e-1", "event_kind": "view",
    "on_item": ITEMS[1], "to_item": ITEMS[1], "for_item": ITEMS[1], "item": ITEMS[1], "shown_items": [ITEMS[1]],
    "events": '[{"kind": "view", "item_id": "hiking-page-1"}]', "of_experiment": "x",
    "topic": "kind: page", "weight": 0.5,
    "of_request": "6b1e9d3c-7f04-4b3f-9a53-0e0d3a1c2b11", "since": "2026-11-01Z", "until": "2026-12-01Z",
}  # fmt: skip
"""By name of the argument: what every function of the contract is called with here, where it has no default."""
MORE = {"record_event": ["on_item"]}
"""What a function cannot do without, in spite of its default."""

Ask = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def shop(connection: Connection) -> Connection:
    open_shop(connection)
    connection.execute("select nearline_data._refresh_topics()")
    connection.execute("select nearline.record_event('u', 'view', %s, with_id => 'e-1')", (ITEMS[0],))
    connection.execute(
        """with new as (insert into nearline_data.experiment (name, salt) values ('x', 'x') returning name)
           insert into nearline_data.experiment_arm (experiment, strategy, share, is_control)
           select new.name, 'default', 1, true from new"""
    )
    return connection


@pytest.fixture
def login(settings: Settings, shop: Connection) -> Iterator[str]:
    """DSN of an application: a pooler logs in by itself, so there is no SET ROLE."""
    with application_login(settings) as address:
        yield address


@pytest.fixture
def servers(login: str) -> Iterator[list[Connection]]:
    """Three server connections of a pool."""
    with ExitStack() as open_ones:
        yield [
            open_ones.enter_context(psycopg.connect(login, autocommit=True, prepare_threshold=None)) for _ in range(3)
        ]


def functions(connection: Connection) -> list[tuple[str, list[str]]]:
    """Name of every function that applications may call, and its arguments without a default."""
    rows = connection.execute(
        """select distinct p.proname, p.proargnames[:p.pronargs - p.pronargdefaults]
           from pg_proc p
           cross join (values ('nearline_reader'), ('nearline_writer')) as r (role)
           where p.pronamespace = 'nearline'::regnamespace and has_function_privilege(r.role, p.oid, 'execute')
           order by 1"""
    ).fetchall()
    return [(name, arguments or []) for name, arguments in rows]


def views(connection: Connection) -> list[str]:
    rows = connection.execute(
        """select c.relname from pg_class c where c.relnamespace = 'nearline'::regnamespace and c.relkind = 'v'
           and has_table_privilege('nearline_reader', c.oid, 'select') order by 1"""
    ).fetchall()
    return [name for (name,) in rows]


def test_no_call_leaves_anything_in_its_session(shop: Connection, servers: list[Connection]) -> None:
    server = servers[0]
    called = functions(shop)
    assert len(called) >= 14
    for name, arguments in called:
        arguments = [*arguments, *MORE.get(name, [])]
        call = ", ".join(f"{one} => %({one})s" for one in arguments)
        server.execute(
            f"select * from nearline.{name}({call})".encode(), {one: VALUES[one] for one in arguments}
        ).fetchall()
        assert server.execute(SESSION_STATE).fetchall() == [], name
    for view in views(shop):
        server.execute(f"select * from nearline.{view}".encode()).fetchall()
        assert server.execute(SESSION_STATE).fetchall() == [], view


@pytest.mark.parametrize(
    ("statement", "left"),
    [
        ("select set_config('work_mem', '5MB', false)", "setting"),
        ("set role nearline_reader", "role"),
        ("prepare mine as select 1", "prepared statement"),
        ("declare mine cursor with hold for select 1", "cursor"),
        ("listen mine", "channel"),
        ("select pg_advisory_lock(1)", "advisory lock"),
        ("create temporary table mine ()", "temporary table"),
    ],
)
def test_what_is_left_in_a_session_would_be_seen(servers: list[Connection], statement: str, left: str) -> None:
    servers[0].execute(statement.encode())
    assert left in {kind for kind, _ in servers[0].execute(SESSION_STATE).fetchall()}


def story(ask: Ask) -> list[Any]:
    """What an application does in a minute; returns all that it was told, but for what is drawn anew each time."""
    told: list[Any] = []
    for number, item in enumerate(ITEMS[:6]):
        told += ask("select nearline.record_event('ada', 'view', %s, with_id => %s)", (item, f"ada-{number}"))
        told += ask("select list_position, item_id, score, reason from nearline.recommend(%s, 5)", ("ada",))
    told += ask("select kind, item_id from nearline.recommend_per_kind('ada', matching => %s)", ('{"language": "en"}',))
    told += ask("select user_id, item_id from nearline.recommend_for_many(%s, 3)", (["ada", "u"],))
    told += ask("select item_id from nearline.recommend_for_session(%s)", (VALUES["events"],))
    told += ask("select nearline.record_exposure(%s, 'ada', %s)", (VALUES["of_request"], ITEMS[6:9]))
    told += ask("select nearline.record_event('ada', 'click', %s, with_id => 'ada-click')", (ITEMS[6],))
    told += ask("select nearline.forget_event('ada', 'ada-0')")
    told += ask("select kind, exposures, clicks from nearline.performance order by 1")
    told += ask("select item_id from nearline.recent_events('ada')")
    told += ask("select topic, weight from nearline.interests('ada')")
    return told


def test_transactions_may_go_to_any_connection(settings: Settings, shop: Connection, servers: list[Connection]) -> None:
    turns = itertools.cycle(servers)

    def ask_pool(statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        server = next(turns)
        with server.transaction():
            rows = server.execute(statement.encode(), values).fetchall()
        server.execute("discard all")
        return rows

    def ask_one(statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return shop.execute(statement.encode(), values).fetchall()

    pooled = story(ask_pool)
    shop.execute("select nearline.erase_user('ada')")
    shop.execute("delete from nearline_data.exposure")
    assert pooled == story(ask_one)
    assert len(pooled) > 60


@pytest.fixture
def bouncer(login: str) -> Iterator[str]:
    """DSN of a PgBouncer in transaction mode with three connections to the server."""
    if (program := shutil.which("pgbouncer")) is None:
        pytest.skip("PgBouncer is not installed")
    place = conninfo_to_dict(login)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pgbouncer.ini").write_text(
            f"""[databases]
            shop = host={place["host"]} port={place["port"]} dbname={place["dbname"]} user={place["user"]}
            [pgbouncer]
            unix_socket_dir = {folder}
            listen_port = 6432
            auth_type = any
            pool_mode = transaction
            default_pool_size = 3
            logfile = {folder}/log
            """
        )
        command = [program, str(folder / "pgbouncer.ini")]
        if os.geteuid() == 0:  # which it refuses to run as
            server = Path(str(place["host"])).owner()
            for path in (folder, folder / "pgbouncer.ini"):
                shutil.chown(path, server)
            command[1:1] = ["-u", server]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                began = time.monotonic()
                while not (folder / ".s.PGSQL.6432").exists():
                    assert process.poll() is None, (folder / "log").read_text()
                    assert time.monotonic() - began < 10
                    time.sleep(0.05)
                yield f"postgresql://anybody@/shop?host={quote(str(folder), safe='/')}&port=6432"
            finally:
                process.terminate()
                process.wait(10)


def test_pgbouncer_gives_the_answers_of_a_connection_of_ones_own(shop: Connection, bouncer: str) -> None:
    ended, met = threading.Event(), set[int]()

    def keep_busy() -> None:
        with psycopg.connect(bouncer, autocommit=True, prepare_threshold=None) as other:
            while not ended.is_set():
                other.execute("select * from nearline.recommend('u')").fetchall()

    def ask_one(statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return shop.execute(statement.encode(), values).fetchall()

    with ThreadPoolExecutor(4) as pool:
        others = [pool.submit(keep_busy) for _ in range(4)]
        try:
            with psycopg.connect(bouncer, autocommit=True, prepare_threshold=None) as client:

                def ask(statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
                    with client.transaction():
                        met.update(pid for (pid,) in client.execute("select pg_backend_pid()").fetchall())
                        return client.execute(statement.encode(), values).fetchall()

                pooled = story(ask)
        finally:
            ended.set()
    for other in others:
        other.result()  # raises what failed there
    assert len(met) > 1, "one client's transactions went to one connection only"
    shop.execute("select nearline.erase_user('ada')")
    shop.execute("delete from nearline_data.exposure")
    assert pooled == story(ask_one)


def test_a_session_that_reads_backslashes_the_old_way_gets_the_same(settings: Settings, shop: Connection) -> None:
    """Of a driver or a login from before Postgres 9.1. What a function was read as stays for whoever is next there."""
    shop.execute("update nearline_data.item set language = 'en', attributes = %s", ('{"brand": "a\\\\"}',))
    shop.execute("select nearline_data._refresh_topics()")
    add_rule = (
        "insert into nearline_data.rule (name, action, strength, matching) values"
        ' (%s, \'boost\', 1, \'{"language": "en", "brand": ["b"]}\')'
    )
    ask = "select item_id, score from nearline.recommend('u', 5, matching => %s)"
    filters = ('{"brand": "a\\\\"}', '{"language": "en", "brand": ["a\\\\", "b"]}')
    shop.execute(add_rule, ("new",))
    right = [shop.execute(ask, (one,)).fetchall() for one in filters]
    assert all(right)
    shop.execute(
        "insert into nearline_data.rejected_row (subject, source, reason, content)"
        " values ('event', 'a', 'b', jsonb_build_object('row', 'x,u.42,view'))"
    )
    with connect(settings, autocommit=True) as old:
        old.execute("set standard_conforming_strings = off")
        old.execute(add_rule, ("old",))
        old.execute("delete from nearline_data.rule where name = 'new'")
        assert [old.execute(ask, (one,)).fetchall() for one in filters] == right
        old.execute("select nearline.erase_user('u.42')")
        old.execute("select nearline_data._ensure_event_partitions('2019-01-01Z', '2019-02-01Z')")
        old.execute("select * from nearline_data._archivable_partitions(1)")
        old.execute("set standard_conforming_strings = on")
        assert [old.execute(ask, (one,)).fetchall() for one in filters] == right
    ((path,),) = shop.execute("select distinct path::text from nearline_data.rule").fetchall()
    assert "^en(-|$)" in path
    assert shop.execute("select count(*) from nearline_data.rejected_row").fetchone() == (0,)
    for file in sorted((sql_folder() / "functions").glob("*.sql")):
        assert "\\" not in re.sub(r"\$re\$.*?\$re\$", "", file.read_text()), f"{file.name}: say it as $re$...$re$"


def test_prepared_statements_outlive_a_publish_and_a_deploy(
    settings: Settings, shop: Connection, servers: list[Connection]
) -> None:
    """A pooler that knows prepared statements keeps them on its server connections for days."""
    for server in servers:
        server.prepare_threshold = 5
    call = "select item_id, model_version from nearline.recommend(for_user => %s, max_items => %s)"

    def ask_all() -> set[int]:
        found = [server.execute(call, ("u", 3), prepare=True).fetchall() for server in servers for _ in range(7)]
        assert found == [found[0]] * len(found)
        return {version for _, version in found[0]}

    assert ask_all() == {1}
    assert all(len(server.execute("select from pg_prepared_statements").fetchall()) == 1 for server in servers)
    open_shop(shop, 2)
    assert ask_all() == {2}
    shop.execute("select nearline_data._promote(1, 'test', 'back')")
    assert ask_all() == {1}
    deploy(settings)
    assert ask_all() == {1}
