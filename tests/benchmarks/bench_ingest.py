"""Loading a file of events, with all checks, by the real job, against a bare binary COPY of the same rows."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
from figure import Figure

from nearline.adapters.postgres import connect, copy_rows
from nearline.settings import Settings

JOBS = Path(__file__).resolve().parents[2] / "jobs"
PEOPLE, ITEMS = 4_000, 3_000
COLUMNS = {
    "event_id": "text", "user_id": "text", "item_id": "text", "kind": "text", "text": "text", "value": "float8",
    "occurred_at": "timestamptz",
}  # fmt: skip


def measure(settings: Settings) -> Iterator[Figure]:
    """Rows a second from the start of the process to the commit, so Spark's own start counts."""
    data = settings.home / "data"
    _run(settings, "make_world.py", "--out", str(data), "--people", str(PEOPLE), "--items", str(ITEMS))
    _run(settings, "ingest_items.py", str(data / "items.parquet"))
    began = time.perf_counter()
    _run(settings, "ingest_events.py", str(data / "events.parquet"))
    seconds = time.perf_counter() - began
    rows = pq.read_table(data / "events.parquet").to_pylist()
    with connect(settings, role=None, autocommit=True) as connection:  # the owner: it makes a table
        loaded = connection.execute("select count(*) from nearline_data.event").fetchone()[0]  # type: ignore[index]
        connection.execute("create table nearline_data.staging_bare (like nearline_data.event including defaults)")
        began = time.perf_counter()
        copied = copy_rows(
            connection, "staging_bare", list(COLUMNS), list(COLUMNS.values()),
            ((str(number), *map(row.get, list(COLUMNS)[1:])) for number, row in enumerate(rows)),
        )  # fmt: skip
        bare = time.perf_counter() - began
        connection.execute("drop table nearline_data.staging_bare")
    if not loaded == copied == len(rows):
        raise RuntimeError(f"{len(rows)} rows in the file, {loaded} loaded, {copied} copied")
    yield Figure(
        name="ingest_events_rows_per_second",
        value=len(rows) / seconds,
        unit="rows/s",
        better="higher",
        target=5_000,
        reference=("bare COPY by psycopg, no checks, no index", len(rows) / bare),
        context={"rows": len(rows), "loaded": loaded, "seconds": round(seconds, 1), "seed": settings.seed},
    )


def _run(settings: Settings, job: str, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, str(JOBS / job), *arguments],
        env={**os.environ, "NEARLINE_HOME": str(settings.home)}, stdout=sys.stderr, check=True,
    )  # fmt: skip
