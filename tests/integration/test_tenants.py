"""Tenants of one server: README's recipe, word for word, keeps the logins of one out of the database of another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from nearline.adapters import embedded_postgres
from nearline.settings import Settings

README = Path(__file__).parents[2] / "README.md"
DATABASES, LOGINS, JOBS = ("tenant_acme", "tenant_birch"), ("acme_app", "birch_app"), ("acme_jobs", "birch_jobs")


@pytest.fixture
def server_of_tenants(server: Settings, template: str) -> Iterator[Settings]:
    """A server with two tenants, set up as README says; all of it is gone afterwards."""
    recipe = re.search(r"## Several tenants.*?```sql\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert recipe, "README has no recipe for tenants"
    with _connect(server) as administrator:
        for database in DATABASES:
            administrator.execute(f"create database {database} template {template}")
        for name in ("acme", "birch"):
            for statement in recipe[1].replace("acme", name).strip().split(";\n"):
                administrator.execute(statement)
    yield server
    with _connect(server) as administrator:
        for database in DATABASES:
            administrator.execute(f"drop database {database} with (force)")
        for login in (*LOGINS, *JOBS):
            administrator.execute(f"drop role {login}")


def test_a_login_serves_its_own_tenant_and_reaches_no_other(server_of_tenants: Settings) -> None:
    for database, login in zip(DATABASES, LOGINS, strict=True):
        with _connect(server_of_tenants, database, login) as application:
            row = application.execute(
                "select nearline.record_event('u1', 'search', with_text => %s)", (login,)
            ).fetchone()
            assert row
            application.execute("select * from nearline.recommend('u1')")
    for database, login in zip(DATABASES, reversed(LOGINS), strict=True):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            _connect(server_of_tenants, database, login)
    for database, login in zip(DATABASES, LOGINS, strict=True):
        with _connect(server_of_tenants, database) as owner:
            words = owner.execute("select text from nearline_data.event where user_id = 'u1'").fetchall()
        assert words == [(login,)]


def test_the_jobs_of_a_tenant_work_in_its_database_and_reach_no_other(server_of_tenants: Settings) -> None:
    for database, login in zip(DATABASES, JOBS, strict=True):
        with _connect(server_of_tenants, database, login) as job:
            job.execute("set role nearline_engine")
            job.execute("select nearline.erase_user(of_user => 'nobody')")
    for database, login in zip(DATABASES, reversed(JOBS), strict=True):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            _connect(server_of_tenants, database, login)


def _connect(
    server: Settings, database: str = "postgres", login: str = "postgres"
) -> psycopg.Connection[tuple[str, ...]]:
    return psycopg.connect(embedded_postgres.dsn(server, database), user=login, autocommit=True)
