"""The servers of `make up`: Postgres, MLflow and Airflow on this machine, as far as no setting names others.

Each server is a process of its own in the background with a log in ``home/logs``; ``home/run`` knows which they are.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nearline.adapters import airflow_environment, embedded_postgres, migrations
from nearline.adapters.free_ports import check_ports
from nearline.adapters.home_folder import prepare_home
from nearline.adapters.processes import Server, stop
from nearline.adapters.stack_servers import (
    AIRFLOW_PARTS,
    airflow_api,
    airflow_command,
    mlflow_command,
    needs_postgres,
    servers,
)
from nearline.adapters.stack_status import addresses, is_up, status
from nearline.adapters.tool_tables import migrate_airflow, migrate_mlflow
from nearline.errors import StackError
from nearline.settings import Settings

START_SECONDS = 240.0
"""How long all servers together may take to become healthy; about 30 seconds are usual on two cores."""

Say = Callable[[str], None]


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
        missing = [server for server in servers(settings) if server.process() is None]
        check_ports(settings, missing)
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
        running = [server for server in servers(settings, every=True) if server.process() is not None]
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


def _start(settings: Settings, missing: list[Server], say: Say) -> None:
    began = time.monotonic()
    end = began + START_SECONDS

    def tell(part: str, what: str) -> None:
        say(f"  {part:<14} {what:<22} {time.monotonic() - began:4.0f} s")

    names = {server.name: server for server in missing}
    waiting = {server.name: server for server in servers(settings)}  # a process that ran before may hang
    if needs_postgres(settings):
        embedded_postgres.start(settings)
        tell("postgres", "up")
    # MLflow makes its tables while Airflow makes its own: both take seconds of one core each.
    if "mlflow" in names:
        migrate_mlflow(settings, tell)
        names["mlflow"].start(
            mlflow_command(settings),
            environment=airflow_environment.mlflow_environment(settings),
            folder=settings.home / "mlflow",
        )
    migrations.deploy(settings)
    tell("nearline", "schema deployed")
    if any(name in names for name in AIRFLOW_PARTS):
        airflow_environment.password(settings)
        environment = airflow_environment.airflow_environment(settings)
        migrate_airflow(settings, environment, tell)
        for name in AIRFLOW_PARTS:
            if name not in names:
                continue
            if name == "scheduler" and "api-server" in names:
                # The first tasks talk to the API server at once, and fail when it does not answer yet.
                _wait(settings, {"api-server": waiting.pop("api-server")}, tell, end)
            names[name].start(
                airflow_command(name), environment=environment, folder=airflow_environment.airflow_home(settings)
            )
    _wait(settings, waiting, tell, end)
    if settings.airflow_url is None:
        _wait_for_dags(settings, tell, end)


def _wait(settings: Settings, awaited: dict[str, Server], tell: Callable[[str, str], None], end: float) -> None:
    waiting = dict(awaited)
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
