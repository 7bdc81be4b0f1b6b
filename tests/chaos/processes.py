"""Start refresh processes from a fork server, wait for them and kill them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from nearline.settings import Settings

PROGRAM = Path(__file__).with_name("refresh_process.py")
NAME = "chaos refresh"
"""How the application_name of its sessions begins; the number of the run follows."""


class Refresh:
    """One process of the job."""

    def __init__(self, name: str, log: Path, what: str) -> None:
        self.name = name
        self.log = log
        self.what = what
        self.pid = 0
        self.status: int | None = None
        self._began, self._ended = threading.Event(), threading.Event()

    def wait(self, seconds: float = 20.0) -> int:
        """Its exit status, minus the signal where one ended it.

        Raises
        ------
        TimeoutError
            When it does not end, with its log and where each of its threads stands.
        """
        if not self._ended.wait(seconds):
            self.kill(signal.SIGUSR1)  # upon which it says where it stands
            self._ended.wait(1.0)
            raise TimeoutError(f"{self.what} did not end within {seconds} s:\n{self.said()}")
        assert self.status is not None
        return self.status

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return not self._ended.is_set()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal, where it still runs."""
        if self.is_running():
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(self.pid, number)

    def was_killed(self) -> bool:
        """Whether a signal ended it: by SIGTERM only where that came before it could be handled."""
        return self.wait() in (-signal.SIGKILL, -signal.SIGTERM)

    def error(self) -> str:
        """The line that a job says when it gives up in order; empty where it did not, or died of something else."""
        lines = [line for line in self.said().splitlines() if line.startswith("error: ")]
        return lines[-1] if self.status == 1 and lines else ""

    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class ForkServer:
    """Forks processes that have all imports done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Refresh] = []
        self._server = subprocess.Popen(
            [sys.executable, str(PROGRAM), "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._waiting: list[Refresh] = []
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start(self, settings: Settings, *arguments: str, shards: int = 1, **options: str | int | None) -> Refresh:
        """Start ``refresh_process.py`` with these arguments, for the database of ``settings``.

        ``options``: kill_at, lose_at, batch, as it has them.
        """
        given = {f"--{name.replace('_', '-')}": str(value) for name, value in options.items() if value is not None}
        argv = [*arguments, *chain.from_iterable(given.items())]
        number = len(self.started)
        what = f"{' '.join(argv)} ({shards} shards)"
        run = Refresh(f"{NAME} {number}", self.folder / f"refresh-{number}.log", what)
        environment = {
            "NEARLINE_DSN": str(settings.dsn),
            "NEARLINE_HOME": str(settings.home),
            "NEARLINE_SHARDS": str(shards),
            "PGAPPNAME": run.name,
        }
        with self._lock:
            self.started.append(run)
            self._waiting.append(run)
            assert self._server.stdin is not None
            self._server.stdin.write(json.dumps({"argv": argv, "env": environment, "log": str(run.log)}) + "\n")
            self._server.stdin.flush()
        if not run._began.wait(20):
            raise TimeoutError(f"the fork server did not start {run.what}")
        return run

    def wait_for_all(self, seconds: float = 20.0) -> None:
        """Wait until none runs."""
        for run in self.started:
            run.wait(seconds)

    def close(self) -> None:
        """Kill what still runs, and end."""
        for run in self.started:
            run.kill()
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(20)

    def _read(self) -> None:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            told: dict[str, Any] = json.loads(line)
            if "status" in told:
                run = next(one for one in reversed(self.started) if one.pid == told["pid"])
                run.status = told["status"]
                run._ended.set()
            else:
                run = self._waiting.pop(0)
                run.pid = told["pid"]
                run._began.set()
