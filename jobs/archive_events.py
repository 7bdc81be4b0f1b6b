"""Move events that are older than NEARLINE_HOT_DAYS from Postgres to Parquet, a whole partition at a time.

A partition is dropped only after its copy was read back and has as many rows, and while it is still what was copied.
Days count from the newest event, so a history that ended long ago is not archived for its age alone.

python jobs/archive_events.py
"""

from __future__ import annotations

import argparse
import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg

from nearline.adapters.patient_drop import drop_when_free
from nearline.adapters.postgres import connect, queries
from nearline.adapters.spark import session
from nearline.adapters.spark_reader import find_archive, read_slices
from nearline.errors import run_job
from nearline.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger("nearline.archive")

COLUMNS = (
    "event_id string, user_id string, item_id string, kind string, text string, value double, attributes string,"
    " occurred_at timestamp, recorded_at timestamp"
)


def main(argv: list[str] | None = None) -> int:
    """Archive what is old enough; running it again goes on where it stopped."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(argv)
    settings = Settings.from_env()
    archive = queries("archive")
    with connect(settings, autocommit=True) as connection:
        rows = connection.execute(archive["partitions"], {"hot_days": settings.hot_days}).fetchall()
        log.info("%d partitions are wholly older than %d days before the newest event", len(rows), settings.hot_days)
        if not rows:
            return 0
        spark = session(settings, "nearline archive_events")
        find_archive(spark, settings.archive_folder, connection, ["event_id"])  # raises where it should be there
    for name, from_time, until_time, row_count in rows:
        span = {"from_time": from_time, "until_time": until_time}
        copied, ids = _copy(spark, settings, name, span)
        archived = {"partition_name": name, "archived_rows": copied, "archived_ids": ids}
        with connect(settings, autocommit=True) as connection:
            try:
                drop_when_free(connection, archive["drop_partition"], archived)
            except (psycopg.errors.SerializationFailure, psycopg.errors.LockNotAvailable) as problem:
                log.warning("%s stays until the next run: %s", name, problem.diag.message_primary)
                continue
        log.info("%s: %d of %d events are in the archive, the partition is dropped", name, copied, row_count)
    return 0


def _copy(spark: SparkSession, settings: Settings, name: str, span: dict[str, Any]) -> tuple[int, Decimal]:
    """Write one partition to Parquet; how many rows can be read back, and the sum of the hashes of the ids read."""
    archive = queries("archive")
    with connect(settings) as connection:
        connection.execute("set transaction isolation level repeatable read, read only")
        newest, ids = connection.execute(archive["content"], span).fetchone() or (None, Decimal(0))
        # Named by content: a try that died is written over, events that came late get a folder of their own.
        folder = f"{settings.archive_folder}/partition={name}/newest_transaction={newest or 0}"
        frame = read_slices(spark, settings, connection, archive["events"].as_string(), COLUMNS, [span])
        frame.write.mode("overwrite").parquet(folder)
    return int(spark.read.parquet(folder).count()), ids


if __name__ == "__main__":
    run_job(main)
