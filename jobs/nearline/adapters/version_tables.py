"""The four tables of a model version, partitions each: of items, transitions, searches and people."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import numpy as np
from psycopg.errors import Diagnostic, LockNotAvailable

from nearline.adapters.patient_drop import drop_when_free
from nearline.adapters.postgres import Connection, copy_rows, queries
from nearline.errors import VersionTaken

log = logging.getLogger("nearline.embed")

PARTS = ("item_embedding", "item_transition", "query_embedding", "user_interest")
LOOK_SECONDS = 0.1
A_MOMENT = 2.0
"""Seconds in which Postgres lets go what a job held that has just died or ended."""


def live_version(connection: Connection) -> int | None:
    """The version that is served; None: there is none yet."""
    found = connection.execute(queries("refresh")["live"]).fetchone()
    return found[0] if found else None


def take_version(connection: Connection, version: int, patience: float = A_MOMENT) -> None:
    """Become the one that writes the vectors of a version, until the connection ends; wait ``patience`` seconds for it.

    Whatever loads, rebuilds, refreshes or drops a version holds this lock: the lock of its first shard of the people.

    Raises
    ------
    VersionTaken
        When another job holds it.
    """
    give_up = time.monotonic() + patience
    while not _try(connection, version):
        if time.monotonic() >= give_up:
            raise VersionTaken(f"Another job writes the vectors of version {version}. Fix: wait for it to end.")
        time.sleep(LOOK_SECONDS)


def make_tables(connection: Connection, version: int) -> None:
    """Make them anew and empty, whatever an earlier try that died has left; raises as `drop_tables` does."""
    drop_tables(connection, version)
    connection.execute(queries("publish")["create_partitions"], {"model_version": version})


def write_items(
    connection: Connection, version: int, item_ids: Sequence[str], kinds: Sequence[str], vectors: np.ndarray
) -> int:
    """Add items to the tables of a version that has no index yet, in one COPY; returns how many.

    Parameters
    ----------
    vectors
        float32 (n, DIM), as `nearline.models.interest_model.InterestModel.place_items` gives them.
    """
    rows = zip([version] * len(item_ids), item_ids, kinds, vectors, strict=True)
    columns = ["model_version", "item_id", "kind", "vector"]
    return copy_rows(connection, "item_embedding", columns, ["int4", "text", "text", "vector"], rows)


def index_version(connection: Connection, version: int) -> int:
    """Index and analyse a loaded version; returns its number of items.

    A build that does not fit into the memory that the server gives it goes on, many times slower, and the log says so.
    """

    def warn(notice: Diagnostic) -> None:
        log.warning(
            "version %d: %s. Fix: raise maintenance_work_mem (or shared_buffers) of Postgres",
            version, notice.message_primary,
        )  # fmt: skip

    connection.add_notice_handler(warn)
    try:
        found = connection.execute(queries("publish")["index_version"], {"model_version": version}).fetchone()
    finally:
        connection.remove_notice_handler(warn)
    return int(found[0]) if found else 0


def drop_tables(connection: Connection, version: int) -> None:
    """Drop those of a version that is not live, each in a transaction of its own: then nobody waits in a circle.

    Raises
    ------
    VersionTaken
        When a long reader, such as a dump, keeps one. Those before it are dropped.
    """
    for part in PARTS:
        try:
            drop_when_free(connection, queries("publish")["drop_part"], {"model_version": version, "part": part})
        except LockNotAvailable as problem:
            raise VersionTaken(f"{problem.diag.message_primary}. Fix: wait for that to end.") from None


def drop_past_use(connection: Connection, keep_versions: int) -> list[int]:
    """Drop the tables of versions that nobody will go back to, and of loads that died; returns which.

    What somebody reads meanwhile is left for the next time, with a warning.
    """
    dropped = []
    for (version,) in connection.execute(queries("publish")["past_use"], {"keep_versions": keep_versions}).fetchall():
        if _try(connection, version):  # else it is wanted again just now
            try:
                drop_tables(connection, version)
            except VersionTaken as problem:
                log.warning("version %d stays until the next run: %s", version, problem)
            else:
                dropped.append(version)
    return dropped


def _try(connection: Connection, version: int) -> bool:
    row = connection.execute(queries("refresh")["try_lock"], {"model_version": version, "shard": 0}).fetchone()
    return bool(row and row[0])
