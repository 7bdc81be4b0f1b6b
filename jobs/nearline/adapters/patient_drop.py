"""Drops of partitions beside readers: each try keeps others waiting for seconds at most, then they pass."""

from __future__ import annotations

import time
from typing import Any

import psycopg
from psycopg import sql

from nearline.adapters.postgres import Connection

TRIES = 3
PAUSE_SECONDS = 2.0


def drop_when_free(connection: Connection, statement: sql.SQL, values: dict[str, Any]) -> None:
    """Run a statement that drops a partition, a few times while others use it; ``connection`` commits each.

    Raises
    ------
    psycopg.errors.LockNotAvailable
        When others still use it. Its primary message says what and who; nothing was dropped.
    """
    for tries_left in reversed(range(TRIES)):
        try:
            connection.execute(statement, values)
            return
        except psycopg.errors.LockNotAvailable:
            if not tries_left:
                raise
            time.sleep(PAUSE_SECONDS)
