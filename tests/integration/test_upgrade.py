"""An earlier installation becomes by one deploy what a new one is: nothing fails, nothing is left over."""

from __future__ import annotations

import io
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from nearline.adapters import embedded_postgres, migrations
from nearline.adapters.migrations import deploy
from nearline.adapters.postgres import Connection
from nearline.settings import Settings

REPOSITORY = Path(__file__).parents[2]

MIGRATIONS_BACK = 8
"""So many of the newest migrations have their earlier states tried, besides what is committed last."""

#: Everything of a schema that a deploy makes; partitions and indexes of versions come later.
OBJECTS = """
    select p.oid::regprocedure::text, pg_get_functiondef(p.oid), obj_description(p.oid, 'pg_proc')
         , array(select a::text from unnest(p.proacl) as a order by 1)
    from pg_proc p
    where p.pronamespace in ('nearline'::regnamespace, 'nearline_data'::regnamespace)
    union all
    select t.tgrelid::regclass || '.' || t.tgname, pg_get_triggerdef(t.oid), obj_description(t.oid, 'pg_trigger'), '{}'
    from pg_trigger t
    join pg_class c on c.oid = t.tgrelid and not c.relispartition
    where not t.tgisinternal and c.relnamespace in ('nearline'::regnamespace, 'nearline_data'::regnamespace)
    union all
    select c.oid::regclass::text, pg_get_viewdef(c.oid), obj_description(c.oid, 'pg_class')
         , array(select a::text from unnest(c.relacl) as a order by 1)
    from pg_class c
    where c.relnamespace in ('nearline'::regnamespace, 'nearline_data'::regnamespace) and c.relkind = 'v'
"""


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(REPOSITORY), *arguments], capture_output=True, check=True).stdout


def _earlier() -> list[str]:
    """What is committed last, and what was before each of the newest migrations; none without a history."""
    try:
        parents = _git("log", "--diff-filter=A", "--format=%p", f"-{MIGRATIONS_BACK}", "--", "sql/migrations").decode()
    except (OSError, subprocess.CalledProcessError):
        return []
    return ["HEAD", *(line.split()[0] for line in parents.splitlines() if line)]


EARLIER = _earlier()


@pytest.mark.skipif(not EARLIER, reason="no history of the repository is here to take an earlier state from")
@pytest.mark.parametrize("commit", EARLIER)
def test_what_an_upgrade_leaves_is_what_a_new_installation_has(
    server: Settings, connection: Connection, commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tarfile.open(fileobj=io.BytesIO(_git("archive", commit, "sql"))) as archive:
        archive.extractall(tmp_path, filter="data")
    name = sql.Identifier("test_upgrade")
    with psycopg.connect(embedded_postgres.dsn(server, "postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(name))
        try:
            old = replace(server, dsn=embedded_postgres.dsn(server, "test_upgrade"))
            with monkeypatch.context() as before:
                before.setattr(migrations, "sql_folder", lambda: tmp_path / "sql")
                deploy(old)
            deploy(old)
            with psycopg.connect(str(old.dsn)) as upgraded:
                assert sorted(upgraded.execute(OBJECTS).fetchall()) == sorted(connection.execute(OBJECTS).fetchall())
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(name))
