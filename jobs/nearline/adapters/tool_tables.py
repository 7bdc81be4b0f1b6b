"""The tables of Airflow and MLflow, made or brought to the installed version before their servers start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import psycopg

from nearline.adapters import airflow_environment, embedded_postgres
from nearline.errors import StackError
from nearline.settings import Settings


def migrate_airflow(settings: Settings, environment: dict[str, str], tell: Callable[[str, str], None]) -> None:
    """Make Airflow's tables once for each version of Airflow: asking it whether they are there takes seconds."""
    done = airflow_environment.airflow_home(settings) / f"migrated-{version('apache-airflow-core')}"
    if not done.exists():
        _run_once(settings, ["airflow", "db", "migrate"], environment, done)
    tell("airflow", "metadata migrated")


def migrate_mlflow(settings: Settings, tell: Callable[[str, str], None]) -> None:
    """Bring MLflow's tables to the installed version, once for each; its server makes new ones, but changes none."""
    done = settings.home / "mlflow" / f"migrated-{version('mlflow')}"
    if done.exists():
        return
    done.parent.mkdir(exist_ok=True)
    with psycopg.connect(embedded_postgres.dsn(settings, "mlflow")) as connection:
        is_new = connection.execute("select to_regclass('alembic_version') is null").fetchone() == (True,)
    if is_new:
        done.touch()
        return
    command = ["mlflow", "db", "upgrade", airflow_environment.mlflow_store(settings)]
    _run_once(settings, command, airflow_environment.mlflow_environment(settings), done)
    tell("mlflow", "tables migrated")


def _run_once(settings: Settings, command: list[str], environment: dict[str, str], done: Path) -> None:
    """Run a Python module to its end, with a log of its own, and note in the file ``done`` that it did."""
    log = settings.logs_folder / f"{command[0]}-migrate.log"
    with open(log, "ab") as output:
        status = subprocess.run(
            [sys.executable, "-m", *command],
            env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        ).returncode  # fmt: skip
    if status != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise StackError(f"`{' '.join(command[:3])}` failed. The end of {log}:\n{tail}")
    done.touch()
