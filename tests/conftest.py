"""Fixtures of all tests: one embedded Postgres a session, one database a test, cloned from a migrated template."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from nearline.adapters import embedded_postgres, postgres
from nearline.adapters.migrations import deploy
from nearline.settings import Settings

# A developer's own settings must not reach the tests.
for name in [name for name in os.environ if name.startswith("NEARLINE_")]:
    del os.environ[name]

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of an embedded Postgres that runs for the whole session."""
    settings = Settings(home=tmp_path_factory.mktemp("server"))
    embedded_postgres.start(settings)
    yield settings
    embedded_postgres.stop(settings)


@pytest.fixture(scope="session")
def template(server: Settings) -> str:
    """Name of a migrated database to clone: a clone takes some hundredths of a second."""
    _administer(server, "create database template_nearline")
    deploy(replace(server, dsn=embedded_postgres.dsn(server, "template_nearline")))
    return "template_nearline"


@pytest.fixture
def settings(server: Settings, template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings with a fresh migrated database and an empty state folder; the environment says the same."""
    name = f"test_{next(_numbers)}"
    _administer(server, f"create database {name} template {template}")
    _administer(server, f"alter database {name} set hnsw.iterative_scan = 'strict_order'")
    _administer(server, f"alter database {name} set hnsw.ef_search = 100")
    settings = Settings(home=tmp_path / "home", dsn=embedded_postgres.dsn(server, name))
    settings.home.mkdir()
    monkeypatch.setenv("NEARLINE_HOME", str(settings.home))
    monkeypatch.setenv("NEARLINE_DSN", str(settings.dsn))
    yield settings
    _administer(server, f"drop database {name} with (force)")


@pytest.fixture
def connection(settings: Settings) -> Iterator[postgres.Connection]:
    """A connection to the fresh database, as the engine; each statement commits."""
    with postgres.connect(settings, autocommit=True) as connection:
        yield connection


def _administer(server: Settings, statement: str) -> None:
    with psycopg.connect(embedded_postgres.dsn(server, "postgres"), autocommit=True) as connection:
        connection.execute(statement.encode())
