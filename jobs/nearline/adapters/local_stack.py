"""The servers of `make up`: Postgres, MLflow and Airflow on this machine, as far as no setting names others.

Each server is a process of its own in the background with a log in ``home/logs``; ``home/run`` knows which they are.
"""

from __future__ import annotations

import fcntl
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import psutil
import psycopg

from nearline.adapters import airflow_environment, embedded_postgres, migrations
from nearline.adapters.airflow_api import AirflowApi
from nearline.adapters.home_folder import prepare_home
from nearline.adapters.processes import Server, family, memory, stop
from nearline.errors import StackError
from nearline.settings import Settings

AIRFLOW_PARTS = ("api-server", "dag-processor", "triggerer", "scheduler")
"""In the order in which they start."""
START_SECONDS = 240.0
"""How long all servers together may take to become healthy; about 30 seconds are usual on two cores."""

Say = Callable[[str], None]


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


def up(settings: Settings, say: Say = print) -> None:
    """Start what does not run yet, wait until all of it is healthy, and say how to reach it.

    Raises
    ------
    StackError
        When everything runs already, a port is taken, or a server does not become healthy (with the end of its log).
        What this call had started by then is stopped again.
    """
    prepare_home(settings)
    with _lock(settings, say):
        if is_up(settings):
            raise StackError(
                f"The stack already runs; nothing was changed.\n{addresses(settings)}\nFix: use it, or `make down`."
            )
        missing = [server for server in _servers(settings) if server.process() is None]
        _check_ports(settings, missing)
        began = time.monotonic()
        had_postgres = embedded_postgres.is_running(settings)
        try:
            _start(settings, missing, say)
        except BaseException:
            say("That failed; stopping what was started.")
            stop(missing)
            if not had_postgres:
                embedded_postgres.stop(settings)
            raise
        say(f"All up after {time.monotonic() - began:.0f} seconds.\n\n{addresses(settings)}")


def down(settings: Settings, say: Say = print) -> None:
    """Stop every server of the stack: first those that use Postgres, then Postgres."""
    if not settings.home.exists():
        say(f"Nothing to stop: there is no {settings.home}.")
        return
    with _lock(settings, say):
        running = [server for server in _servers(settings, every=True) if server.process() is not None]
        airflow = [server for server in running if server.name != "mlflow"]
        mlflow = [server for server in running if server.name == "mlflow"]
        # Airflow first: its tasks still talk to MLflow and Postgres while they end.
        for group in (airflow, mlflow):
            stop(group)
            for server in group:
                say(f"  {server.name:<14} stopped")
        if embedded_postgres.stop(settings):
            say(f"  {'postgres':<14} stopped")
        elif not running:
            say("Nothing to stop: no server runs.")


def main_processes(settings: Settings) -> list[psutil.Process]:
    """The process that each running server began with."""
    postgres = embedded_postgres.pid(settings)
    servers = [process for server in _servers(settings) if (process := server.process()) is not None]
    return servers + ([psutil.Process(postgres)] if postgres else [])


def is_up(settings: Settings) -> bool:
    """Whether every server of the stack runs and is healthy."""
    return all(part.is_up for part in status(settings))


def status(settings: Settings) -> list[PartStatus]:
    """Every part of the stack: external, up, starting (it runs but is not healthy) or down."""
    parts = []
    postgres = embedded_postgres.pid(settings)
    if _needs_postgres(settings):
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
    processes = {server.name: server.process() for server in _servers(settings)}
    # Asked only where something of ours runs: whatever else holds the port may never answer.
    healthy = airflow_api(settings).health() if any(map(processes.get, AIRFLOW_PARTS)) else {}
    for name, process in processes.items():
        port = settings.mlflow_port if name == "mlflow" else settings.airflow_port
        if process is not None and name == "mlflow":
            healthy["mlflow"] = _answers(f"{_mlflow_url(settings)}/health")
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
    lines.append("MLflow    " + ("NEARLINE_MLFLOW_URI" if settings.mlflow_uri else _mlflow_url(settings)))
    if settings.dsn is None:
        lines.append(f"Postgres  {embedded_postgres.psql_path()} '{embedded_postgres.dsn(settings)}'")
    else:
        lines.append("Postgres  NEARLINE_DSN")
    lines.append(f"Logs      {settings.logs_folder}")
    lines.append(f"State     {settings.home}")
    lines.append(f"          for jobs by hand: export NEARLINE_HOME={shlex.quote(str(settings.home))}")
    return "\n".join(lines)


def airflow_api(settings: Settings) -> AirflowApi:
    """The REST API of the local Airflow."""
    return AirflowApi(
        f"http://127.0.0.1:{settings.airflow_port}",
        airflow_environment.USER,
        airflow_environment.password(settings),
    )


def _start(settings: Settings, missing: list[Server], say: Say) -> None:
    began = time.monotonic()
    end = began + START_SECONDS

    def tell(part: str, what: str) -> None:
        say(f"  {part:<14} {what:<22} {time.monotonic() - began:4.0f} s")

    names = {server.name: server for server in missing}
    waiting = {server.name: server for server in _servers(settings)}  # a process that ran before may hang
    if _needs_postgres(settings):
        embedded_postgres.start(settings)
        tell("postgres", "up")
    # MLflow makes its tables while Airflow makes its own: both take seconds of one core each.
    if "mlflow" in names:
        _migrate_mlflow(settings, tell)
        names["mlflow"].start(
            _mlflow_command(settings),
            environment=airflow_environment.mlflow_environment(settings),
            folder=settings.home / "mlflow",
        )
    migrations.deploy(settings)
    tell("nearline", "schema deployed")
    if any(name in names for name in AIRFLOW_PARTS):
        airflow_environment.password(settings)
        environment = airflow_environment.airflow_environment(settings)
        _migrate_airflow(settings, environment)
        tell("airflow", "metadata migrated")
        for name in AIRFLOW_PARTS:
            if name not in names:
                continue
            if name == "scheduler" and "api-server" in names:
                # The first tasks talk to the API server at once, and fail when it does not answer yet.
                _wait(settings, {"api-server": waiting.pop("api-server")}, tell, end)
            names[name].start(
                _airflow_command(name), environment=environment, folder=airflow_environment.airflow_home(settings)
            )
    _wait(settings, waiting, tell, end)
    if settings.airflow_url is None:
        _wait_for_dags(settings, tell, end)


def _wait(settings: Settings, servers: dict[str, Server], tell: Callable[[str, str], None], end: float) -> None:
    waiting = dict(servers)
    while waiting:
        by_name = {part.part: part for part in status(settings)}
        for name, server in list(waiting.items()):
            if by_name[name].state == "up":
                tell(name, "up")
                del waiting[name]
            elif by_name[name].state == "down":
                raise StackError(f"{name} ended by itself. The end of {server.log}:\n{server.log_tail()}")
        if waiting and time.monotonic() > end:
            texts = [f"{server.log}:\n{server.log_tail()}" for server in waiting.values()]
            raise StackError(
                f"Not healthy after {START_SECONDS:.0f} seconds: {', '.join(waiting)}. "
                "Fix: `make down`, then `make up`. The end of " + "\n".join(texts)
            )
        time.sleep(0.5)


def _wait_for_dags(settings: Settings, tell: Callable[[str, str], None], end: float) -> None:
    """A DAG is of use once Airflow has parsed it; each file in dags/ has one, named like the file."""
    expected = {path.stem for path in (airflow_environment.REPOSITORY / "dags").glob("*.py")}
    api = airflow_api(settings)
    while not expected <= api.dag_ids():
        if time.monotonic() > end or api.import_errors():
            raise StackError(
                f"Airflow did not parse {', '.join(sorted(expected - api.dag_ids()))}. "
                + "\n".join(api.import_errors())
            )
        time.sleep(0.5)
    tell("dags", f"{len(expected)} parsed")


def _migrate_airflow(settings: Settings, environment: dict[str, str]) -> None:
    """Make Airflow's tables once for each version of Airflow: asking it whether they are there takes seconds."""
    done = airflow_environment.airflow_home(settings) / f"migrated-{version('apache-airflow-core')}"
    if not done.exists():
        _run_once(settings, ["airflow", "db", "migrate"], environment, done)


def _migrate_mlflow(settings: Settings, tell: Callable[[str, str], None]) -> None:
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


def _mlflow_command(settings: Settings) -> list[str]:
    return [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(settings.mlflow_port),
        "--workers", "1", "--artifacts-destination", str(settings.home / "mlflow" / "artifacts"),
    ]  # fmt: skip


def _airflow_command(part: str) -> list[str]:
    # The log servers are for workers on other machines; here the API server reads the log files themselves.
    quiet = ["--skip-serve-logs"] if part in ("scheduler", "triggerer") else []
    return [sys.executable, "-m", "airflow", part, *quiet]


def _servers(settings: Settings, *, every: bool = False) -> list[Server]:
    """The servers that `settings` leave to us; ``every``: also those that an earlier `make up` may have started."""
    names = [] if settings.mlflow_uri is not None and not every else ["mlflow"]
    names += [] if settings.airflow_url is not None and not every else list(AIRFLOW_PARTS)
    return [
        Server(name=name, pid_file=settings.home / "run" / f"{name}.json", log=settings.logs_folder / f"{name}.log")
        for name in names
    ]


def _needs_postgres(settings: Settings) -> bool:
    return settings.dsn is None or bool(_servers(settings))


def _mlflow_url(settings: Settings) -> str:
    return f"http://127.0.0.1:{settings.mlflow_port}"


def _check_ports(settings: Settings, missing: list[Server]) -> None:
    wanted = {"mlflow": ("NEARLINE_MLFLOW_PORT", settings.mlflow_port)}
    wanted["api-server"] = ("NEARLINE_AIRFLOW_PORT", settings.airflow_port)
    for server in missing:
        if server.name not in wanted:
            continue
        variable, port = wanted[server.name]
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as problem:
                raise StackError(
                    f"Port {port}, wanted for {server.name}, cannot be had: {problem.strerror}{_holder(port)}. "
                    f"Fix: stop that process, or choose another port with {variable}."
                ) from None


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                if connection.pid is None:
                    break
                command = " ".join(psutil.Process(connection.pid).cmdline())[:80]
                return f" (held by process {connection.pid}: {command})"
    except psutil.Error:
        pass
    return ""


@cache
def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _answers(url: str) -> bool:
    try:
        with _opener().open(url, timeout=5) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


@contextmanager
def _lock(settings: Settings, say: Say) -> Iterator[None]:
    """One `make up` or `make down` at a time."""
    with open(settings.home / "stack.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another `make up` or `make down` is at work; waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
