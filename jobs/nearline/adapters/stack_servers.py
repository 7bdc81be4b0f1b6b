"""Which servers the local stack consists of, by what settings name elsewhere, and how each is started."""

from __future__ import annotations

import sys

import psutil

from nearline.adapters import airflow_environment, embedded_postgres
from nearline.adapters.airflow_api import AirflowApi
from nearline.adapters.processes import Server
from nearline.settings import Settings

AIRFLOW_PARTS = ("api-server", "dag-processor", "triggerer", "scheduler")
"""In the order in which they start."""


def servers(settings: Settings, *, every: bool = False) -> list[Server]:
    """The servers that `settings` leave to us; ``every``: also those that an earlier `make up` may have started."""
    names = [] if settings.mlflow_uri is not None and not every else ["mlflow"]
    names += [] if settings.airflow_url is not None and not every else list(AIRFLOW_PARTS)
    return [
        Server(name=name, pid_file=settings.home / "run" / f"{name}.json", log=settings.logs_folder / f"{name}.log")
        for name in names
    ]


def needs_postgres(settings: Settings) -> bool:
    """Whether anything uses the embedded Postgres: Nearline itself, or a server of ours for its own tables."""
    return settings.dsn is None or bool(servers(settings))


def main_processes(settings: Settings) -> list[psutil.Process]:
    """The process that each running server began with."""
    postgres = embedded_postgres.pid(settings)
    running = [process for server in servers(settings) if (process := server.process()) is not None]
    return running + ([psutil.Process(postgres)] if postgres else [])


def airflow_api(settings: Settings) -> AirflowApi:
    """The REST API of the local Airflow."""
    return AirflowApi(
        f"http://127.0.0.1:{settings.airflow_port}",
        airflow_environment.USER,
        airflow_environment.password(settings),
    )


def mlflow_command(settings: Settings) -> list[str]:
    """What starts MLflow's server."""
    return [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(settings.mlflow_port),
        "--workers", "1", "--artifacts-destination", str(settings.home / "mlflow" / "artifacts"),
    ]  # fmt: skip


def airflow_command(part: str) -> list[str]:
    """What starts one of ``AIRFLOW_PARTS``."""
    # The log servers are for workers on other machines; here the API server reads the log files themselves.
    quiet = ["--skip-serve-logs"] if part in ("scheduler", "triggerer") else []
    return [sys.executable, "-m", "airflow", part, *quiet]


def mlflow_url(settings: Settings) -> str:
    """Where MLflow's server of the stack listens."""
    return f"http://127.0.0.1:{settings.mlflow_port}"
