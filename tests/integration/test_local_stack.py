"""`make up`, `status`, `down` and `clean`, without Airflow, whose start would take most of a minute."""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest

import stack  # jobs/stack.py
from nearline.adapters import (
    airflow_environment,
    embedded_postgres,
    local_stack,
    stack_servers,
    stack_status,
    tool_tables,
)
from nearline.adapters.processes import Server, stop
from nearline.errors import StackError
from nearline.settings import Settings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def local(tmp_path: Path) -> Settings:
    """Postgres and MLflow here, Airflow elsewhere."""
    return Settings(home=tmp_path, airflow_url="http://airflow.example", mlflow_port=free_port())


def test_up_twice_status_down(local: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    for variable, value in (
        ("NEARLINE_HOME", local.home),
        ("NEARLINE_AIRFLOW_URL", local.airflow_url),
        ("NEARLINE_MLFLOW_PORT", local.mlflow_port),
    ):
        monkeypatch.setenv(variable, str(value))
    assert stack.main(["status"]) == 1
    try:
        assert stack.main(["up"]) == 0
        said = capsys.readouterr().out
        assert f"http://127.0.0.1:{local.mlflow_port}" in said
        assert "psql" in said
        assert f"export NEARLINE_HOME={local.home}" in said
        assert [*(local.home / "mlflow").glob("migrated-*")]

        before = {part.part: part.pid for part in stack_status.status(local)}
        with pytest.raises(StackError, match="already runs; nothing was changed") as caught:
            stack.main(["up"])
        assert f"http://127.0.0.1:{local.mlflow_port}" in str(caught.value)
        assert {part.part: part.pid for part in stack_status.status(local)} == before

        assert stack.main(["status"]) == 0
        table = capsys.readouterr().out
        assert "external" in table
        command = " ".join(psutil.Process(before["mlflow"]).cmdline())
        assert "postgresql" not in command  # the backend is said in the environment
    finally:
        assert stack.main(["down"]) == 0
    assert not embedded_postgres.is_running(local)
    assert [part.state for part in stack_status.status(local)] == ["down", "down", "external"]
    assert stack.main(["clean"]) == 0
    assert not local.home.exists()


def test_a_taken_port_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        settings = Settings(home=tmp_path, mlflow_uri="http://mlflow.example", airflow_port=port)
        with pytest.raises(StackError, match=f"Port {port}, wanted for api-server.*NEARLINE_AIRFLOW_PORT"):
            local_stack.up(settings)
    assert not (tmp_path / "postgres").exists()
    assert not (tmp_path / "run").exists()


def test_a_server_that_ends_at_once(local: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", "print('no licence for that'); raise SystemExit(3)"]
    monkeypatch.setattr(local_stack, "mlflow_command", lambda settings: command)
    said: list[str] = []
    with pytest.raises(StackError, match=r"mlflow ended by itself(.|\n)*no licence for that"):
        local_stack.up(local, say=said.append)
    assert not embedded_postgres.is_running(local)


def test_a_server_that_lives_and_hangs_is_not_up(local: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_stack, "START_SECONDS", 5.0)
    (hung,) = stack_servers.servers(local)
    hung.log.parent.mkdir()
    hung.start([sys.executable, "-c", "import time; time.sleep(300)"], environment={}, folder=local.home)
    said: list[str] = []
    try:
        with pytest.raises(StackError, match=r"Not healthy after 5 seconds: mlflow\. Fix: `make down`, then `make up`"):
            local_stack.up(local, say=said.append)
        assert hung.process() is not None  # what ran before is not ended by a failure
    finally:
        local_stack.down(local, say=said.append)
    assert "All up" not in "".join(said)


def test_tables_of_an_older_mlflow_are_migrated_once(tmp_path: Path) -> None:
    import sqlalchemy
    from alembic import command
    from alembic.script import ScriptDirectory
    from mlflow.exceptions import MlflowException
    from mlflow.store.db import utils

    settings = Settings(home=tmp_path)
    url = airflow_environment.mlflow_store(settings)
    config = utils._get_alembic_config(url)
    newest = next(ScriptDirectory.from_config(config).walk_revisions())
    said: list[tuple[str, str]] = []
    embedded_postgres.start(settings)
    try:
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
        utils.InitialBase.metadata.create_all(engine)
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, str(newest.down_revision))
        with pytest.raises(MlflowException, match="out-of-date database schema"):
            utils._verify_schema(engine)  # with which MLflow's server ends
        for _ in range(2):
            tool_tables.migrate_mlflow(settings, lambda part, what: said.append((part, what)))
        utils._verify_schema(engine)
    finally:
        embedded_postgres.stop(settings)
    assert said == [("mlflow", "tables migrated")]


def test_a_proxy_is_passed_by_for_this_machine_and_for_whom_the_user_named(
    local: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for upper, lower, expected in (
        (None, None, "127.0.0.1,localhost"),
        ("db.example, .corp", None, "db.example,.corp,127.0.0.1,localhost"),
        (None, "localhost,db.example", "localhost,db.example,127.0.0.1"),
        ("*", "db.example", "*"),
    ):
        for name, value in (("NO_PROXY", upper), ("no_proxy", lower)):
            monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
        environment = airflow_environment.local_environment(local)
        assert (environment["NO_PROXY"], environment["no_proxy"]) == (expected, expected)


def test_clean_removes_nothing_but_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "precious").write_text("")
    monkeypatch.setenv("NEARLINE_HOME", str(tmp_path))
    with pytest.raises(StackError, match="Fix: remove it yourself"):
        stack.main(["clean"])
    assert (tmp_path / "precious").exists()


def test_stop_ends_children_that_do_not_want_to(tmp_path: Path) -> None:
    server = Server(name="stubborn", pid_file=tmp_path / "run" / "stubborn.json", log=tmp_path / "stubborn.log")
    child = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    )
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    server.start([sys.executable, "-c", program], environment={}, folder=tmp_path)
    while "ready" not in server.log.read_text():
        time.sleep(0.05)
    process = server.process()
    assert process is not None
    children = process.children()
    stop([server])
    assert server.process() is None
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_a_pid_that_is_another_process_by_now_is_left_alone(tmp_path: Path) -> None:
    me = psutil.Process()
    server = Server(name="old", pid_file=tmp_path / "old.json", log=tmp_path / "old.log")
    server.pid_file.write_text(json.dumps({"pid": me.pid, "created": me.create_time() - 100}))
    assert server.process() is None
    stop([server])  # would end this test


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, dsn="postgresql://app:s3cret@db.example:6543/shop?sslmode=require")
    environment = airflow_environment.airflow_environment(settings)
    assert airflow_environment.airflow_environment(settings) == environment
    password = airflow_environment.password(settings)
    assert airflow_environment.password(settings) == password
    for name in ("keys.json", "passwords.json"):
        assert (tmp_path / "airflow" / name).stat().st_mode & 0o077 == 0
    assert json.loads(environment["AIRFLOW_CONN_NEARLINE_POSTGRES"]) == {
        "conn_type": "postgres", "host": "db.example", "port": "6543", "login": "app", "password": "s3cret",
        "schema": "shop", "extra": {"sslmode": "require"},
    }  # fmt: skip
    commands = [
        stack_servers.mlflow_command(settings),
        *map(stack_servers.airflow_command, stack_servers.AIRFLOW_PARTS),
    ]
    assert not [word for command in commands for word in command if "s3cret" in word or password in word]
    assert environment["NEARLINE_HOME"] == str(tmp_path)
