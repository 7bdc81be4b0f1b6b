"""The embedded Postgres: starts, stops, starts again, and says what is wrong."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from nearline.adapters import embedded_postgres, home_folder
from nearline.adapters.airflow_environment import local_environment
from nearline.adapters.postgres import connect
from nearline.errors import DatabaseError, StackError
from nearline.settings import Settings


def one(settings: Settings, question: str, database: str = "nearline") -> object:
    with psycopg.connect(embedded_postgres.dsn(settings, database)) as connection:
        row = connection.execute(question.encode()).fetchone()
        assert row is not None
        return row[0]


def test_start_stop_and_start_again(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "a folder é")
    assert not embedded_postgres.is_running(settings)
    assert not embedded_postgres.stop(settings)
    dsn = embedded_postgres.start(settings)
    try:
        pid = embedded_postgres.pid(settings)
        assert pid is not None
        assert embedded_postgres.start(settings) == dsn
        assert embedded_postgres.pid(settings) == pid
        assert one(settings, "show timezone") == "UTC"
        assert one(settings, "show listen_addresses") == ""
        for database in embedded_postgres.DATABASES:
            assert one(settings, "select current_database()", database) == database
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("create table kept as select 42 as answer")
    finally:
        assert embedded_postgres.stop(settings)
    assert not embedded_postgres.is_running(settings)
    assert "password" not in dsn
    with pytest.raises(DatabaseError, match="make up"):
        connect(settings)

    embedded_postgres.start(settings)
    try:
        assert one(settings, "select answer from kept") == 42
    finally:
        embedded_postgres.stop(settings)


def test_what_the_shell_says_of_another_server_is_not_for_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "PGPORT": "6543", "PGHOSTADDR": "192.0.2.1", "PGOPTIONS": "-c no_such=1", "PGSERVICE": "nowhere",
        "PGSSLMODE": "verify-full", "PGGSSENCMODE": "require", "PGREQUIREAUTH": "scram-sha-256",
        "PGCHANNELBINDING": "require", "PGTARGETSESSIONATTRS": "standby",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    settings = Settings(home=tmp_path)
    dsn = embedded_postgres.start(settings)
    try:
        assert one(settings, "select current_database()") == "nearline"
    finally:
        embedded_postgres.stop(settings)
    assert conninfo_to_dict(dsn)["port"] == "5432"
    assert not [name for name in local_environment(settings) if name.startswith("PG")]  # nor for the tasks


def test_where_another_server_is_named_its_variables_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSFILE", "/etc/shop.pgpass")
    settings = Settings(home=tmp_path, dsn="postgresql://app@db.example/shop")
    embedded_postgres.dsn(settings, "airflow")
    assert local_environment(settings)["PGPASSFILE"] == "/etc/shop.pgpass"


def test_a_folder_too_deep_for_a_socket(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / ("deep" * 30))
    embedded_postgres.start(settings)
    try:
        assert one(settings, "select 1") == 1
        socket_folder = Path(str(one(settings, "show unix_socket_directories")))
        assert socket_folder != settings.postgres_folder
        assert socket_folder.stat().st_mode & 0o077 == 0
    finally:
        embedded_postgres.stop(settings)
        socket_folder.rmdir()


def test_two_starts_at_once_make_one_server(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    pids: list[int | None] = []

    def begin() -> None:
        embedded_postgres.start(settings)
        pids.append(embedded_postgres.pid(settings))

    threads = [threading.Thread(target=begin) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    embedded_postgres.stop(settings)
    assert len(pids) == 2
    assert len(set(pids)) == 1


def test_data_of_another_version(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.postgres_folder.mkdir()
    (settings.postgres_folder / "PG_VERSION").write_text("16\n")
    with pytest.raises(StackError, match=r"expected data of Postgres 18, saw data of Postgres 16\. Fix"):
        embedded_postgres.start(settings)


def test_an_interrupted_first_start_is_made_anew(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    draft = tmp_path / "postgres.new"
    draft.mkdir()
    (draft / "PG_VERSION").write_text("18\n")
    embedded_postgres.start(settings)
    embedded_postgres.stop(settings)
    assert not draft.exists()


def test_a_pid_file_left_by_a_crash(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.postgres_folder.mkdir()
    lines = [os.getpid(), settings.postgres_folder, 1, 5432, settings.postgres_folder, "", "0 0", "ready"]
    (settings.postgres_folder / "postmaster.pid").write_text("\n".join(map(str, lines)) + "\n")
    assert embedded_postgres.pid(settings) is None
    assert not embedded_postgres.stop(settings)


def test_a_state_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(StackError, match=r"expected a folder I may write to.*NEARLINE_HOME"):
        embedded_postgres.start(Settings(home=tmp_path / "home"))


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home_folder, "NEEDED_BYTES", 2**62)
    with pytest.raises(StackError, match=r"MB of free disk, saw .*Fix: make room"):
        embedded_postgres.start(Settings(home=tmp_path))
    assert not (tmp_path / "postgres").exists()
