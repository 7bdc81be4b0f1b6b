"""Deploy sql/: roles, migrations exactly once, functions every time. Two deployers at once take turns."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psycopg
from psycopg import sql

from nearline.adapters.postgres import Connection, connect, sql_folder
from nearline.errors import DatabaseError
from nearline.settings import Settings

log = logging.getLogger("nearline.migrations")

LEAST_PGVECTOR = (0, 8, 4)
"""Earlier versions return too few rows when a filter follows an HNSW scan, and have lost rows on vacuum."""
LEAST_POSTGRES = 160000
LOCK_SECONDS = 3.0
"""How long a deploy waits for what another session holds: everybody else who wants it waits behind the deploy."""
TRIES = 5
PAUSE_SECONDS = 1.0
"""Between tries: those who waited get through."""
IN_THE_WAY = """
    select format('pid %%s of user %%s', a.pid, a.usename)
           || coalesce(' (' || nullif(a.application_name, '') || ')', '')
           || coalesce(', in a transaction for ' || date_trunc('second', clock_timestamp() - a.xact_start)::text, '')
    from unnest(pg_blocking_pids(%s)) as b (pid)
    join pg_stat_activity a on a.pid = b.pid
    order by a.xact_start
"""
"""The name of an application and the age of a transaction are for those who may see them."""


class _Waited(Exception):
    """Another session holds what a step of a deploy needs."""


def deploy(settings: Settings) -> list[str]:
    """Bring the database to the state that this version of Nearline needs; returns the migrations that ran.

    Raises
    ------
    DatabaseError
        When Postgres or pgvector is too old, a recorded migration has another body now, one fails, or another session
        keeps a table to itself. What had been committed before stays; the one that failed leaves nothing.
    """
    with connect(settings, role=None, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(hashtext('nearline deploy'))")
        connection.execute(sql.SQL("set lock_timeout = {}").format(f"{LOCK_SECONDS * 1000:.0f}ms"))
        _check_versions(connection)
        roles = (sql_folder() / "roles.sql").read_text(encoding="utf-8")
        _try(settings, connection, lambda: _run(connection, "sql/roles.sql", roles))
        done = _ledger(connection)
        ran = []
        for path in sorted((sql_folder() / "migrations").glob("*.sql")):
            body = path.read_text(encoding="utf-8")
            checksum = hashlib.sha256(body.encode()).hexdigest()
            if path.name in done:
                if done[path.name] != checksum:
                    raise DatabaseError(
                        f"sql/migrations/{path.name}: expected the body that ran, checksum {done[path.name][:12]}, "
                        f"saw {checksum[:12]}. Fix: restore the file and put the change into a new migration."
                    )
                continue
            _try(settings, connection, partial(_migrate, connection, path.name, body, checksum))
            log.info("migrated %s", path.name)
            ran.append(path.name)
        _try(settings, connection, lambda: _deploy_functions(connection))
        return ran


def _check_versions(connection: Connection) -> None:
    if connection.info.server_version < LEAST_POSTGRES:
        raise DatabaseError(
            f"Expected Postgres {LEAST_POSTGRES // 10000} or newer, saw {connection.info.server_version // 10000}. "
            "Fix: upgrade the server."
        )
    found = connection.execute("select default_version from pg_available_extensions where name = 'vector'").fetchone()
    if found is None:
        raise DatabaseError("Expected the extension vector (pgvector), saw none. Fix: install pgvector on the server.")
    if tuple(map(int, re.findall(r"\d+", found[0]))) < LEAST_PGVECTOR:
        least = ".".join(map(str, LEAST_PGVECTOR))
        raise DatabaseError(f"Expected pgvector {least} or newer, saw {found[0]}. Fix: upgrade pgvector.")


def _ledger(connection: Connection) -> dict[str, str]:
    if connection.execute("select to_regclass('nearline_data.migration')").fetchone() == (None,):
        return {}
    return dict(connection.execute("select name, checksum from nearline_data.migration").fetchall())


def _migrate(connection: Connection, name: str, body: str, checksum: str) -> None:
    with connection.transaction():
        _run(connection, f"sql/migrations/{name}", body)
        connection.execute("insert into nearline_data.migration (name, checksum) values (%s, %s)", (name, checksum))


def _deploy_functions(connection: Connection) -> None:
    database = sql.Identifier(connection.info.dbname)
    with connection.transaction():
        connection.execute("set local role nearline_owner")
        for path in sorted((sql_folder() / "functions").glob("*.sql")):
            _run(connection, f"sql/functions/{path.name}", path.read_text(encoding="utf-8"))
        ahead = (
            "select nearline_data._ensure_event_partitions(now() - interval '2 months', now() + interval '3 months')"
        )
        _run(connection, "partitions for the next months", ahead)
    # Without it a filter (kinds, seen items) after an HNSW scan returns too few rows. On the database, where a role can
    # have its own.
    connection.execute(sql.SQL("alter database {} set hnsw.iterative_scan = 'strict_order'").format(database))
    # pgvector's own 40 finds 97 to 99 of a hundred nearest items in catalogues learnt from real data; this, over 99.
    connection.execute(sql.SQL("alter database {} set hnsw.ef_search = 100").format(database))


def _try(settings: Settings, connection: Connection, step: Callable[[], None]) -> None:
    """Do ``step``, again where another session was in its way, and at last say which."""
    for number in range(1, TRIES + 1):
        is_over = threading.Event()
        with ThreadPoolExecutor(1, "blockers") as pool:
            in_the_way = pool.submit(_watch, settings, connection.info.backend_pid, is_over)
            try:
                return step()
            except _Waited as problem:
                said = str(problem)
            finally:
                is_over.set()
            who = "; ".join(in_the_way.result()) or "a session that has ended since"
        log.warning("try %d of %d: %s; in the way: %s", number, TRIES, said, who)
        if number < TRIES:
            time.sleep(PAUSE_SECONDS)
    raise DatabaseError(
        f"{said}. In the way: {who}. Nothing of it was kept. Fix: end that transaction, if need be with "
        "`select pg_terminate_backend(<pid>)`, and deploy again."
    )


def _watch(settings: Settings, deployer: int, is_over: threading.Event) -> list[str]:
    """Say for whom the deployer waits, as it was seen last; what a try that gave up waited for, nobody can ask."""
    found: list[str] = []
    if is_over.wait(LOCK_SECONDS / 3):
        return found
    with connect(settings, role=None, autocommit=True) as watcher:
        while not is_over.wait(LOCK_SECONDS / 10):
            rows = watcher.execute(IN_THE_WAY, (deployer,)).fetchall()
            found = [said for (said,) in rows] or found
    return found


def _run(connection: Connection, name: str, body: str) -> None:
    try:
        connection.execute(body.encode())
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as problem:
        raise _Waited(f"{name} waited {LOCK_SECONDS:g} s for a lock that another session holds") from problem
    except psycopg.Error as problem:
        raise DatabaseError(f"{name} failed: {problem}. Nothing of it was kept.") from problem
