"""What of the local stack runs and is healthy, and where a person finds it."""

from __future__ import annotations

import shlex
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import cache

import psutil

from nearline.adapters import airflow_environment, embedded_postgres
from nearline.adapters.processes import family, memory
from nearline.adapters.stack_servers import AIRFLOW_PARTS, airflow_api, mlflow_url, needs_postgres, servers
from nearline.settings import Settings


@dataclass(frozen=True, kw_only=True)
class PartStatus:
    """One line of `make status`."""

    part: str
    state: str
    pid: int | None = None
    address: str = ""
    memory_bytes: int = 0

    @property
    def is_up(self) -> bool:
        """Whether there is nothing to repair."""
        return self.state in ("up", "external")


def status(settings: Settings) -> list[PartStatus]:
    """Every part of the stack: external, up, starting (it runs but is not healthy) or down."""
    parts = []
    postgres = embedded_postgres.pid(settings)
    if needs_postgres(settings):
        held = memory(family(psutil.Process(postgres))) if postgres else 0
        parts.append(
            PartStatus(
                part="postgres",
                state="up" if postgres else "down",
                pid=postgres,
                address=str(settings.postgres_folder),
                memory_bytes=held,
            )
        )
    if settings.dsn is not None:
        parts.append(PartStatus(part="database", state="external", address="NEARLINE_DSN"))
    processes = {server.name: server.process() for server in servers(settings)}
    # Asked only where something of ours runs: whatever else holds the port may never answer.
    healthy = airflow_api(settings).health() if any(map(processes.get, AIRFLOW_PARTS)) else {}
    for name, process in processes.items():
        port = settings.mlflow_port if name == "mlflow" else settings.airflow_port
        if process is not None and name == "mlflow":
            healthy["mlflow"] = _answers(f"{mlflow_url(settings)}/health")
        parts.append(
            PartStatus(
                part=name,
                state="down" if process is None else "up" if healthy[name] else "starting",
                pid=process.pid if process else None,
                address=f"http://127.0.0.1:{port}" if name in ("mlflow", "api-server") else "",
                memory_bytes=memory(family(process)) if process else 0,
            )
        )
    if settings.mlflow_uri is not None:
        parts.append(PartStatus(part="mlflow", state="external", address="NEARLINE_MLFLOW_URI"))
    if settings.airflow_url is not None:
        parts.append(PartStatus(part="airflow", state="external", address=settings.airflow_url))
    return parts


def is_up(settings: Settings) -> bool:
    """Whether every server of the stack runs and is healthy."""
    return all(part.is_up for part in status(settings))


def status_table(parts: list[PartStatus]) -> str:
    """`status` as text for a person."""
    lines = [f"{'part':<14} {'state':<9} {'pid':>7}  {'memory':>8}  address"]
    for part in parts:
        held = f"{part.memory_bytes / 2**20:.0f} MB" if part.memory_bytes else ""
        lines.append(f"{part.part:<14} {part.state:<9} {part.pid or '':>7}  {held:>8}  {part.address}")
    total = sum(part.memory_bytes for part in parts)
    lines.append(f"{'together':<14} {'':<9} {'':>7}  {total / 2**20:>5.0f} MB")
    return "\n".join(lines)


def addresses(settings: Settings) -> str:
    """Where to find the stack and how to log in."""
    lines = []
    if settings.airflow_url is None:
        lines.append(f"Airflow   http://127.0.0.1:{settings.airflow_port}")
        login = f"user {airflow_environment.USER}, password {airflow_environment.password(settings)}"
        lines.append(f"          {login}")
        lines.append(
            f"          try a user's recommendations: http://127.0.0.1:{settings.airflow_port}/plugin/nearline"
        )
    else:
        lines.append(f"Airflow   {settings.airflow_url}")
    lines.append("MLflow    " + ("NEARLINE_MLFLOW_URI" if settings.mlflow_uri else mlflow_url(settings)))
    if settings.dsn is None:
        lines.append(f"Postgres  {embedded_postgres.psql_path()} '{embedded_postgres.dsn(settings)}'")
    else:
        lines.append("Postgres  NEARLINE_DSN")
    lines.append(f"Logs      {settings.logs_folder}")
    lines.append(f"State     {settings.home}")
    lines.append(f"          for jobs by hand: export NEARLINE_HOME={shlex.quote(str(settings.home))}")
    return "\n".join(lines)


@cache
def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _answers(url: str) -> bool:
    try:
        with _opener().open(url, timeout=5) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False
