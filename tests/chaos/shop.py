"""A shop on a server: its refresh processes, and how it comes to rest after a fault."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg

from chaos.invariants import Findings, Sampler, check
from chaos.processes import NAME, ForkServer, Refresh
from chaos.writers import AWAY, Book, Writer
from nearline.adapters import embedded_postgres
from nearline.adapters.migrations import deploy
from nearline.adapters.postgres import Connection, connect
from nearline.errors import StackError
from nearline.settings import Settings
from small_shop import open_shop

TEMPLATE = "template_shop"


@dataclass
class Shop:
    """One database with version 1 live, whose ledger nobody has written to yet."""

    settings: Settings
    forks: ForkServer
    book: Book = field(default_factory=Book)
    shards: int = 1
    """Shards that the next runs are started with."""
    divided_anew: bool = False
    may_fail: bool = False
    """Whether a run may end with an error of one line, such as that Postgres was away when its time was over."""
    errors: list[str] = field(default_factory=list)
    writers: list[Writer] = field(default_factory=list)
    publishers: list[Refresh] = field(default_factory=list)
    runs: list[Refresh] = field(default_factory=list)

    def connect(self) -> Connection:
        return connect(self.settings, autocommit=True)

    def administer(self) -> Connection:
        """A connection that sees and ends the sessions of all roles."""
        return connect(self.settings, role=None, autocommit=True)

    def run(self, *arguments: str, shard: int = 0, **options: str | int | None) -> Refresh:
        """Start the job for one shard; ``options`` are those of `ForkServer.start`."""
        arguments = ("drain", *arguments, "--shard", str(shard))
        run = self.forks.start(self.settings, *arguments, shards=self.shards, **options)
        self.runs.append(run)
        return run

    def publish(self, version: int, **options: str | int | None) -> Refresh:
        """Start building another version, which goes live at its end."""
        run = self.forks.start(self.settings, "publish", str(version), **options)
        self.publishers.append(run)
        return run

    def write(self, seed: int, *, pause: float = 0.01, most: int = 10_000) -> Writer:
        """Start a writer."""
        writer = Writer(self.settings, self.book, seed, pause=pause, most=most).start()
        self.writers.append(writer)
        return writer

    def divide(self, shards: int) -> list[Refresh]:
        """Another number of shards: start runs for them, as the next minute of Airflow would."""
        self.shards, self.divided_anew = shards, True
        return [self.run("--seconds", "1.5", shard=shard) for shard in range(shards)]

    def divide_for(self, shard: int) -> Refresh:
        """One shard more, and a run for that one only: the others find out."""
        self.shards, self.divided_anew = shard + 1, True
        return self.run("--seconds=1.5", shard=shard)

    def end(self, run: Refresh) -> None:
        """Ask a run to end, as Airflow does, and see that it does so in order."""
        run.kill(signal.SIGTERM)
        assert run.wait() == 0, run.said()

    def answers(self) -> bool:
        """Whether the server accepts connections."""
        try:
            self.connect().close()
        except AWAY:
            return False
        return True

    def rest(self) -> Findings:
        """Let writers and runs end, read what is left in a last run, and check all invariants."""
        for writer in self.writers:
            writer.join()
        for run in self.runs:
            run.kill(signal.SIGTERM)
        ended = [run for run in [*self.runs, *self.publishers] if not run.was_killed()]
        failed = [run for run in ended if run.wait() != 0 and not (self.may_fail and run.error())]
        self.errors = [run.error() for run in ended if run.error()]
        self.wait_for_sessions()
        for shard in range(self.shards):  # in this order: shard 0 places the items that others wait for
            last = self.run("--once", shard=shard)
            failed += [last] if last.wait() != 0 else []
            self.wait_for_sessions()
        with self.connect() as connection:
            found = check(connection, self.book, began=self._began(), divided_anew=self.divided_anew)
        for run in failed:
            found.note("a run", [f"{run.what} ended with {run.status}: {run.said()[-1500:]}"])
        return found

    def holder(self) -> Refresh | None:
        """The run that has the lock of the live version's shard 0."""
        with self.administer() as connection:
            rows = connection.execute(
                """select a.application_name
                   from pg_locks k
                   join pg_stat_activity a on a.pid = k.pid
                   join nearline_data.live_version l on k.objid = l.model_version * 1024
                   where k.locktype = 'advisory' and k.granted and a.datname = current_database()
                     and k.classid = (hashtext('nearline refresh')::bigint & 4294967295)::oid"""
            ).fetchall()
        assert len(rows) <= 1, "one run at a time"
        return next((run for run in self.runs if (run.name,) in rows), None)

    def wait_for_a_batch(self) -> None:
        """Wait until a run is at work."""
        with self.connect() as connection:
            before = connection.execute("select max(batch_id) from nearline_data.refresh_batch").fetchone()
            wait_until(
                lambda: (
                    connection.execute("select max(batch_id) from nearline_data.refresh_batch").fetchone() != before
                ),
                "no run writes a batch",
            )

    def wait_for_sessions(self) -> None:
        """Wait until the server has noticed whose processes are gone."""
        with self.administer() as connection:
            wait_until(
                lambda: connection.execute(
                    """select count(*) from pg_stat_activity a
                       where a.datname = current_database() and a.pid <> pg_backend_pid()
                         and a.backend_type = 'client backend'"""
                ).fetchone() == (0,),
                "sessions of processes that are gone stay",
            )  # fmt: skip

    def terminate_sessions(self, most: int = 1, of_writers: bool = False) -> int:
        """End sessions of refresh processes (or of writers); returns how many."""
        with self.administer() as connection:
            row = connection.execute(
                """select count(pg_terminate_backend(s.pid))
                   from (
                       select a.pid from pg_stat_activity a
                       where a.datname = current_database() and a.pid <> pg_backend_pid()
                         and a.backend_type = 'client backend' and a.application_name like %s <> %s
                       order by random() limit %s
                   ) s""",
                (f"{NAME} %", of_writers, most),
            ).fetchone()
        assert row is not None
        return int(row[0])

    def _began(self) -> dict[int, str]:
        began = {}
        for publisher in self.publishers:
            for line in publisher.said().splitlines():
                if line.startswith("started "):
                    _, version, position = line.split()
                    began[int(version)] = position
        return began


def wait_until(done: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    """Wait for something that takes a moment.

    Raises
    ------
    TimeoutError
        When it does not happen, saying ``what``.
    """
    give_up = time.monotonic() + seconds
    while not done():
        if time.monotonic() > give_up:
            raise TimeoutError(what)
        time.sleep(0.01)


class Server:
    """An embedded Postgres of one's own, to stop and to kill."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        embedded_postgres.start(settings)
        # Processes are killed here, not the machine: what was written is in its cache, and recovery takes a moment
        # instead of the seconds in which thousands of files are synced.
        self._administer("alter system set fsync = off")
        self._administer("select pg_reload_conf()")
        self._number = 0
        self._administer(f"create database {TEMPLATE}")
        shop = replace(settings, dsn=embedded_postgres.dsn(settings, TEMPLATE))
        deploy(shop)
        with connect(shop, autocommit=True) as connection:
            open_shop(connection)

    @contextmanager
    def shop(self, forks: ForkServer) -> Iterator[Shop]:
        """A fresh shop, dropped at the end."""
        self._number += 1
        name = f"shop_{self._number}"
        self._administer(f"create database {name} template {TEMPLATE}")
        # A copied sequence believes that its next 32 numbers are logged; after a checkpoint it logs them again.
        self._administer("checkpoint")
        shop = Shop(replace(self.settings, dsn=embedded_postgres.dsn(self.settings, name)), forks)
        try:
            yield shop
        finally:
            for writer in shop.writers:
                writer.stop.set()
                writer.hurry.set()
            for run in [*shop.runs, *shop.publishers]:
                run.kill()
            self.start()
            for writer in shop.writers:
                writer.join()
            self._administer(f"drop database {name} with (force)")

    def stop_at_once(self) -> None:
        """What a power cut leaves: no session ends in order, no checkpoint is written."""
        self._signal(signal.SIGQUIT)

    def kill(self) -> None:
        """SIGKILL to the server's first process: the others notice that it is gone."""
        self._signal(signal.SIGKILL)

    def kill_session(self, pid: int) -> None:
        """SIGKILL to one session's process, upon which the server ends all sessions and recovers by itself."""
        os.kill(pid, signal.SIGKILL)

    def start(self) -> None:
        """Start it, unless it runs."""
        for _ in range(50):
            try:
                embedded_postgres.start(self.settings)
                return
            except (StackError, psycopg.OperationalError):  # processes of the killed one are still about
                time.sleep(0.1)
        embedded_postgres.start(self.settings)

    def close(self) -> None:
        self.start()
        embedded_postgres.stop(self.settings)

    def _signal(self, number: int) -> None:
        pid = embedded_postgres.pid(self.settings)
        assert pid is not None
        os.kill(pid, number)
        wait_until(lambda: not _exists(pid), "the server does not go")

    def _administer(self, statement: str) -> None:
        with psycopg.connect(embedded_postgres.dsn(self.settings, "postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"  # else nobody waits for it
    except FileNotFoundError:
        return False


@contextmanager
def sampled(shop: Shop) -> Iterator[Sampler]:
    """Sample positions while the block runs, and hold them against the ones that were open."""
    with Sampler(shop.settings) as sampler:
        yield sampler
    assert sampler.wrong == []
    assert sampler.samples > 0
