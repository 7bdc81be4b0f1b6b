"""Servers that outlive the command that started them: each its own session, with a log and a pid file.

A pid file holds the pid and when that process was created, so a number that the system has given to another process
in the meantime is never taken for ours, and never killed.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

TERMINATE_SECONDS = 5.0
"""How long a server may take to end by itself. Airflow's say goodbye within one second and spend the others on tidying
up their memory; what Postgres holds is safe without."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server of the local stack: where its pid file and its log are."""

    name: str
    pid_file: Path
    log: Path

    def start(self, command: Sequence[str], *, environment: Mapping[str, str], folder: Path) -> None:
        """Start ``command`` detached from this terminal, with its output appended to the log."""
        folder.mkdir(parents=True, exist_ok=True)
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=folder,
                start_new_session=True,
            )
        self.pid_file.write_text(json.dumps({"pid": child.pid, "created": psutil.Process(child.pid).create_time()}))

    def process(self) -> psutil.Process | None:
        """The running server; None when it does not run."""
        try:
            noted = json.loads(self.pid_file.read_text())
            process = psutil.Process(noted["pid"])
            return process if abs(process.create_time() - noted["created"]) < 1.0 and _lives(process) else None
        except (OSError, ValueError, KeyError, psutil.Error):
            return None

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of the log, indented."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join("  " + line for line in text.splitlines()[-lines:]) or "  (its log is empty)"


def family(process: psutil.Process) -> list[psutil.Process]:
    """``process`` and everything it started that still runs, also what a child that is gone left behind."""
    members = {process.pid: process}
    try:
        for child in process.children(recursive=True):
            members[child.pid] = child
    except psutil.Error:
        pass
    for other in psutil.process_iter():
        try:
            if other.pid not in members and os.getsid(other.pid) == process.pid:
                members[other.pid] = other
        except (OSError, psutil.Error):
            continue
    return list(members.values())


def memory(processes: Iterable[psutil.Process]) -> int:
    """Bytes of memory that ``processes`` hold; what they share is counted once."""
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except (psutil.Error, AttributeError):
            continue
    return total


def stop(servers: Iterable[Server]) -> None:
    """End ``servers`` at the same time: politely, then by force; with all that they started."""
    running = [(server, server.process()) for server in servers]
    mains = [process for _, process in running if process is not None]
    members = [member for process in mains for member in family(process)]
    _signal(mains, "terminate")
    _wait(mains, TERMINATE_SECONDS)
    _signal(members, "terminate")
    _wait(members, 2.0)
    _signal(members, "kill")
    _wait(members, 3.0)
    for server, _ in running:
        server.pid_file.unlink(missing_ok=True)


def _lives(process: psutil.Process) -> bool:
    """Whether it still runs; in a container nobody may collect what has ended, which then stays as a zombie."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _wait(processes: list[psutil.Process], seconds: float) -> None:
    end = time.monotonic() + seconds
    while any(_lives(process) for process in processes) and time.monotonic() < end:
        time.sleep(0.05)


def _signal(processes: list[psutil.Process], action: str) -> None:
    for process in processes:
        try:
            getattr(process, action)()  # psutil checks first that the pid is still the same process
        except psutil.Error:
            continue
