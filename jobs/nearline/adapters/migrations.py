"""Deploy sql/: roles, migrations exactly once, functions every time. Two deployers at once take turns."""

from __future__ import annotations

import hashlib
import logging
import re

import psycopg
from psycopg import sql

from nearline.adapters.postgres import Connection, connect, sql_folder
from nearline.errors import DatabaseError
from nearline.settings import Settings

log = logging.getLogger("nearline.migrations")

LEAST_PGVECTOR = (0, 8, 4)
"""Earlier versions return too few rows when a filter follows an HNSW scan, and have lost rows on vacuum."""
LEAST_POSTGRES = 160000


def deploy(settings: Settings) -> list[str]:
    """Bring the database to the state that this version of Nearline needs; returns the migrations that ran.

    Raises
    ------
    DatabaseError
        When Postgres or pgvector is too old, a recorded migration has another body now, or one fails. What had been
        committed before stays; the one that failed leaves nothing.
    """
    with connect(settings, role=None, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(hashtext('nearline deploy'))")
        _check_versions(connection)
        _run(connection, "sql/roles.sql", (sql_folder() / "roles.sql").read_text(encoding="utf-8"))
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
            with connection.transaction():
                _run(connection, f"sql/migrations/{path.name}", body)
                connection.execute(
                    "insert into nearline_data.migration (name, checksum) values (%s, %s)", (path.name, checksum)
                )
            log.info("migrated %s", path.name)
            ran.append(path.name)
        _deploy_functions(connection)
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


def _deploy_functions(connection: Connection) -> None:
    database = sql.Identifier(connection.info.dbname)
    with connection.transaction():
        connection.execute("set local role nearline_owner")
        for path in sorted((sql_folder() / "functions").glob("*.sql")):
            _run(connection, f"sql/functions/{path.name}", path.read_text(encoding="utf-8"))
        connection.execute(
            "select nearline_data._ensure_event_partitions(now() - interval '2 months', now() + interval '3 months')"
        )
    # Without it a filter (kinds, seen items) after an HNSW scan returns too few rows. On the database, where a role can
    # have its own.
    connection.execute(sql.SQL("alter database {} set hnsw.iterative_scan = 'strict_order'").format(database))
    # pgvector's own 40 finds 97 to 99 of a hundred nearest items in catalogues learnt from real data; this, over 99.
    connection.execute(sql.SQL("alter database {} set hnsw.ef_search = 100").format(database))


def _run(connection: Connection, name: str, body: str) -> None:
    try:
        connection.execute(body.encode())
    except psycopg.Error as problem:
        raise DatabaseError(f"{name} failed: {problem}. Nothing of it was kept.") from problem
