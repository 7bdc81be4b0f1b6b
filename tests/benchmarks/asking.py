"""Connections that ask for lists without a pause, by pgbench on the same cores, and what each request took."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import numpy as np

from nearline.adapters import embedded_postgres
from nearline.settings import Settings

CLIENTS, LONGEST = 16, 4 * 3600
"""Connections, and seconds after which they end by themselves."""
REQUEST = """\\set who random(0, {last})
select 1 / (
    count(*) = 10 and count(distinct model_version) = 1
    and bool_and(right(item_id, 1) <> case model_version when 1 then '1' else '0' end)
)::integer
from nearline.recommend(for_user => 'u' || :who, with_reasons => false);
"""
"""Divides by zero where a list is short or mixed."""


def ask(settings: Settings, people: int) -> subprocess.Popen[str]:
    """Connections that ask one after another, and a log of what each request took."""
    script = settings.home / "request.sql"
    script.write_text(REQUEST.format(last=people - 1))
    return subprocess.Popen(
        [
            str(Path(embedded_postgres.psql_path()).with_name("pgbench")), "--no-vacuum", "--protocol=prepared",
            "--log", f"--log-prefix={settings.home / 'requests'}", f"--client={CLIENTS}", f"--time={LONGEST}",
            f"--file={script}", embedded_postgres.dsn(settings),
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def answers(settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """When each request ended, in seconds since 1970, and what it took, in seconds; float64 (n,), by their end."""
    (log,) = settings.home.glob("requests.*")
    rows = np.loadtxt(log, usecols=(2, 4, 5))  # microseconds; seconds and microseconds of its end
    ended = rows[:, 1] + rows[:, 2] / 1e6
    order = np.argsort(ended)
    return ended[order], rows[order, 0] / 1e6


def end(clients: subprocess.Popen[str]) -> int:
    """Let them finish what they are at; returns how many requests failed.

    Raises
    ------
    RuntimeError
        When pgbench failed otherwise.
    """
    clients.send_signal(signal.SIGALRM)  # the end of its time, as far as pgbench can tell
    _, said = clients.communicate(timeout=60)
    failed = said.count("aborted")
    if clients.returncode and not failed:
        raise RuntimeError(f"pgbench ended with {clients.returncode}: {said.strip()[-500:]}")
    return failed
