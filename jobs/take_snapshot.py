"""Copy the catalogue and the ledger, as they are at one moment, from Postgres to Parquet, in parallel.

python jobs/take_snapshot.py --run NAME
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nearline.adapters import postgres
from nearline.adapters.spark import session
from nearline.adapters.spark_reader import find_archive, read_events, read_items, with_archive
from nearline.errors import GateRefused, run_job
from nearline.run_folder import RunFolder

log = logging.getLogger("nearline.snapshot")


def main(argv: list[str] | None = None) -> int:
    """Write items.parquet, events.parquet and, last, snapshot.json; refuse (status 99) when there is nothing."""
    run = RunFolder.from_arguments(__doc__, argv)
    settings = run.settings
    shutil.rmtree(run.snapshot, ignore_errors=True)
    run.snapshot.mkdir(parents=True)
    with postgres.connect(settings) as connection:
        snapshot = postgres.queries("snapshot")
        connection.execute("set transaction isolation level repeatable read, read only")
        facts: dict[str, Any] = {"kinds": dict(connection.execute(snapshot["kinds"]).fetchall())}
        spark = session(settings, "nearline take_snapshot")
        read_items(spark, settings, connection).write.parquet(str(run.snapshot / "items.parquet"))
        hot = read_events(spark, settings, connection)
        archived = find_archive(spark, settings.archive_folder, connection, hot.columns)
        with_archive(hot, archived).write.parquet(str(run.snapshot / "events.parquet"))
    items = spark.read.parquet(str(run.snapshot / "items.parquet"))
    events = spark.read.parquet(str(run.snapshot / "events.parquet"))
    item_count, item_digest = _count_and_digest(items)
    event_count, event_digest = _count_and_digest(events)
    if not item_count or not event_count:
        raise GateRefused(
            f"Expected items and events to learn from, saw {item_count} active items and {event_count} events. "
            "Fix: load them with ingest_items and ingest_events, or start with `make demo`."
        )
    cut = _cut(events, settings.holdout_share)
    facts |= {
        "items": item_count,
        "events": event_count,
        "digest": hashlib.sha256(f"{item_digest} {event_digest}".encode()).hexdigest(),
        "cut_time": cut,
        "inner_cut_time": _cut(
            events.where(F.unix_micros("occurred_at") < int(cut * 1e6)), settings.holdout_share, cut
        ),
    }
    (run.snapshot / "snapshot.json").write_text(json.dumps(facts, indent=1))
    log.info("%d items, %d events, digest %s", item_count, event_count, facts["digest"][:12])
    return 0


def _count_and_digest(frame: DataFrame) -> tuple[int, str]:
    """Count, and a sum of hashes: the same rows in any order and any number of files give the same."""
    total = F.sum(F.xxhash64(*sorted(frame.columns)).cast("decimal(38,0)"))
    row = frame.agg(F.count("*").alias("count"), total.alias("digest")).first()
    return (row["count"], str(row["digest"])) if row else (0, "")


def _cut(events: DataFrame, share: float, default: float = float("inf")) -> float:
    """Time, in seconds, that the newest ``share`` of the events lie at or after."""
    found = events.agg(F.percentile_approx(F.unix_micros("occurred_at"), 1.0 - share, 1_000_000)).first()
    return float(found[0]) / 1e6 if found and found[0] is not None else default


if __name__ == "__main__":
    run_job(main)
