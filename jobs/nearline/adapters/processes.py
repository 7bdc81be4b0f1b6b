"""Servers that outlive the command that started them: each its own session, with a log and a pid file.

A pid file holds the pid and when that process was created, so a number that the system has given to another process
in the meantime is never taken for ours, and never killed.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

TERMINATE_SECONDS = 12.0
"""How long a server may take to end by itself before it is killed."""


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
            same = abs(process.create_time() - noted["created"]) < 1.0
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
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
    psutil.wait_procs(mains, timeout=TERMINATE_SECONDS)
    left = [member for member in members if member.is_running()]
    _signal(left, "terminate")
    _, left = psutil.wait_procs(left, timeout=3.0)
    _signal(left, "kill")
    psutil.wait_procs(left, timeout=3.0)
    for server, _ in running:
        server.pid_file.unlink(missing_ok=True)


def _signal(processes: Iterable[psutil.Process], action: str) -> None:
    for process in processes:
        try:
            getattr(process, action)()
        except psutil.Error:
            continue
