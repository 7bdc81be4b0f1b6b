"""The real refresh job in a process of its own that kills itself where it is told to.

The job is jobs/refresh_interests.py; only its trained model is replaced, by the small shop's encoder, so that a
process needs no torch. ``--kill-at save_interests:2:before`` ends it with SIGKILL right before the second time that
this block of sql/queries/refresh.sql or explanations.sql is sent; ``commit`` stands for the end of a transaction.

python tests/chaos/refresh_process.py drain --once --kill-at save_interests:1:after
python tests/chaos/refresh_process.py publish 2         build a version beside the live one, and flip to it
python tests/chaos/refresh_process.py serve             fork a process for each line on standard input
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "jobs"), str(ROOT / "tests")]

import numpy as np  # noqa: E402
import psycopg  # noqa: E402

import refresh_interests  # noqa: E402
from nearline.adapters import drain, interest_ledger, interest_writer  # noqa: E402
from nearline.adapters.new_items import NewItems  # noqa: E402
from nearline.adapters.postgres import connect, queries  # noqa: E402
from nearline.adapters.promotion import PLACING_SECONDS  # noqa: E402
from nearline.adapters.version_tables import drop_tables  # noqa: E402
from nearline.core.behaviour import History  # noqa: E402
from nearline.errors import DatabaseUnreachable, run_job  # noqa: E402
from nearline.settings import Settings  # noqa: E402
from small_shop import MeanOfHistory, open_shop  # noqa: E402

POISON = "poison"
"""A text that the encoder fails on: the job sets it aside."""
SECONDS_A_BATCH = 0.01
MOMENTS = ("before", "during", "after")
BLOCKS = {**queries("refresh"), **queries("explanations")}
"""What the job sends, by name."""


class Fragile(MeanOfHistory):
    """The shop's encoder, which one text breaks, and which takes a moment, in which much can happen."""

    def interests(self, histories: Sequence[History]) -> np.ndarray:
        time.sleep(SECONDS_A_BATCH)
        return super().interests(histories)

    def query_vectors(self, queries: Sequence[str]) -> np.ndarray:
        if any(POISON in query for query in queries):
            raise ValueError("a token out of range")
        return super().query_vectors(queries)


@dataclass
class KillPoint:
    """Dies, or loses its connection, at the ``time``-th passage of a statement.

    ``during`` is for commits: sent, and the answer never read.
    """

    block: str
    time: int
    moment: str
    dies: bool = True

    @classmethod
    def parse(cls, text: str) -> KillPoint:
        """Read ``block:time:moment``."""
        block, time_, moment = text.split(":")
        if block not in {"commit", *BLOCKS} or moment not in MOMENTS:
            raise argparse.ArgumentTypeError(f"expected a block of a query file and one of {MOMENTS}, saw {text!r}")
        return cls(block, int(time_), moment)

    def install(self) -> None:
        """Watch the statements of this process."""
        if self.block == "commit":
            self._watch_commits()
            return
        query = BLOCKS[self.block]
        for cursor, name in (
            (psycopg.Cursor, "execute"),
            (psycopg.Cursor, "executemany"),
            (psycopg.ServerCursor, "execute"),
        ):
            setattr(cursor, name, self._watched(getattr(cursor, name), query))

    def _watched(self, send: Callable[..., Any], wanted: object) -> Callable[..., Any]:
        def watched(cursor: Any, query: object, *arguments: Any, **options: Any) -> Any:
            if query is not wanted:
                return send(cursor, query, *arguments, **options)
            last = self._is_last()
            if last and self.moment == "before":
                self._fail(cursor.connection)
            found = send(cursor, query, *arguments, **options)
            if last and self.moment == "after":
                self._fail(cursor.connection)
            return found

        return watched

    def _watch_commits(self) -> None:
        send = psycopg.Connection._exec_command

        def watched(connection: Any, command: Any, *arguments: Any, **options: Any) -> Iterator[Any]:
            last = command == b"COMMIT" and self._is_last()
            if last and self.moment == "before":
                self._fail(connection)
            if last and self.moment == "during":
                connection.pgconn.send_query(command)
                connection.pgconn.flush()
                self._fail(connection)
                raise psycopg.OperationalError("the connection was lost before the server answered")
            found = yield from send(connection, command, *arguments, **options)
            if last and self.moment == "after":
                self._fail(connection)
            return found

        psycopg.Connection._exec_command = watched  # type: ignore[assignment,method-assign]

    def _fail(self, connection: Any) -> None:
        if self.dies:
            os.kill(os.getpid(), signal.SIGKILL)  # as a power cut would: nothing is flushed, closed or said
        with socket.socket(fileno=os.dup(connection.fileno())) as lost:
            lost.shutdown(socket.SHUT_RDWR)

    def _is_last(self) -> bool:
        self.time -= 1
        return self.time == 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job, or publish a version."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["drain", "publish"])
    parser.add_argument("--kill-at", type=KillPoint.parse, help="such as save_interests:2:before")
    parser.add_argument("--lose-at", type=KillPoint.parse, help="the same, and only the connection is lost")
    parser.add_argument("--batch", type=int, help="events a batch, so that a few events are several batches")
    parser.add_argument("--people", type=int, help="people a statement, so that a few people are several statements")
    arguments, rest = parser.parse_known_args(argv)
    _make_small(arguments.batch, arguments.people)
    refresh_interests._load = lambda settings, version: Fragile()  # type: ignore[assignment]
    if arguments.kill_at:
        arguments.kill_at.install()
    if arguments.lose_at:
        replace(arguments.lose_at, dies=False).install()
    if arguments.verb == "publish":
        return publish(Settings.from_env(), int(rest[0]))
    return refresh_interests.main(rest)


def _make_small(batch: int | None, people: int | None) -> None:
    """Scale what is tuned for many events and minutes down to a handful and a second."""
    drain.SWEEP_SECONDS = 0.1
    drain.LOOK_SECONDS = 0.2
    drain.FIRST_RETRY_SECONDS = 0.05
    drain.LAST_RETRY_SECONDS = 0.2
    interest_ledger.PEOPLE_AT_A_TIME = 2
    if batch:
        drain.EVENTS_A_BATCH = batch
        drain.next_size = lambda size, seconds: batch
    if people:
        interest_writer.USERS_A_BATCH = people


def publish(settings: Settings, version: int) -> int:
    """What embed_items, rebuild_interests and publish do, from the start again where a try before died."""
    with clean(), connect(settings, autocommit=True) as connection:
        live = connection.execute(queries("refresh")["live"]).fetchone()
        if live == (version,):
            return 0
        drop_tables(connection, version)
        with connection.transaction():
            connection.execute("delete from nearline_data.model_version where model_version = %s", (version,))
            connection.execute("delete from nearline_data.refresh_batch where model_version = %s", (version,))
        ledger = open_shop(connection, version, live=False)
        ledger.writer.model = ledger.writer.reader.model = Fragile()
        print(f"started {version} {ledger.position(lock=False)}", flush=True)
        items = NewItems(ledger)
        items.take_for(PLACING_SECONDS)
        ledger.catch_up_and(
            lambda: (
                connection.execute("select nearline_data._promote(%s, 'chaos', 'it is a test')", (version,)) and None
            ),
            settle=lambda: items.take_for(0.0),
        )
    return 0


@contextmanager
def clean() -> Iterator[None]:
    """A connection that is lost, or a deadlock, is an error in order: the task is tried again."""
    try:
        yield
    except psycopg.OperationalError as problem:
        raise DatabaseUnreachable(str(problem).strip()) from problem


def serve() -> int:
    """Fork a process for each line, a JSON object with argv, env and log; tell its pid, and its status when it ended.

    A fork takes milliseconds, and starting Python with numpy and psycopg half a second.
    """
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    lines = sys.stdin.fileno()
    rest = b""
    running: set[int] = set()
    while True:
        ready, _, _ = select.select([lines, read_end], [], [])
        if read_end in ready:
            os.read(read_end, 4096)
            _tell_who_ended(running)
        if lines in ready:
            got = os.read(lines, 65536)
            if not got:
                for pid in running:
                    os.kill(pid, signal.SIGKILL)
                return 0
            *whole, rest = (rest + got).split(b"\n")
            for line in whole:
                running.add(pid := _fork(json.loads(line)))
                _tell(pid=pid)


def _tell_who_ended(running: set[int]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        running.discard(pid)
        _tell(pid=pid, status=os.waitstatus_to_exitcode(status))


def _tell(**what: int) -> None:
    print(json.dumps(what), flush=True)


def _fork(task: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(task["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        faulthandler.register(signal.SIGUSR1)
        os.environ.update(task["env"])
        run_job(lambda: main(task["argv"]))
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        status = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        sys.exit(serve())
    run_job(main)
