"""Postgres and the archive as Spark frames: one connection and one slice of time a partition, never by the driver."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from nearline.adapters.postgres import Connection, dsn, queries
from nearline.errors import InputError
from nearline.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger("nearline.snapshot")

ITEMS = "item_id string, kind string, title string, description string, language string, attributes string"
EVENTS = (
    "event_id string, user_id string, item_id string, kind string, text string, value double, occurred_at timestamp"
)
SLICES = 8
ROWS_A_BATCH = 10_000


def read_items(spark: SparkSession, settings: Settings, connection: Connection) -> DataFrame:
    """All active items, as the transaction of ``connection`` sees them."""
    return read_slices(spark, settings, connection, queries("snapshot")["items"].as_string(), ITEMS, [{}])


def read_events(spark: SparkSession, settings: Settings, connection: Connection) -> DataFrame:
    """All events in Postgres, as the transaction of ``connection`` sees them, in slices of equal time."""
    bounds = connection.execute(queries("snapshot")["slices"], {"slices": SLICES}).fetchall()
    slices = [{"from_time": low, "until_time": high} for low, high in bounds]
    return read_slices(spark, settings, connection, queries("snapshot")["events"].as_string(), EVENTS, slices)


def find_archive(spark: SparkSession, folder: str, connection: Connection, columns: Sequence[str]) -> DataFrame | None:
    """Columns of the archived events; None: nothing was archived so far.

    Raises
    ------
    InputError
        When there is an archive and it cannot be read, or there was one and is none.
    """
    from pyspark.errors import AnalysisException

    try:
        return spark.read.parquet(folder).select(*columns)
    except AnalysisException as problem:
        if problem.getCondition() in ("PATH_NOT_FOUND", "UNABLE_TO_INFER_SCHEMA"):  # none, or empty
            if connection.execute(queries("archive")["is_there"]).fetchone() == (False,):
                return None
            raise InputError(
                f"NEARLINE_ARCHIVE: expected the events that were moved to it, saw nothing at {folder}. Fix: mount it, "
                "or name the folder that has them; to do without them: delete from nearline_data.archived_partition."
            ) from None
        raise InputError(
            f"NEARLINE_ARCHIVE: expected events that `archive_events` wrote, saw at {folder}: "
            f"{str(problem).splitlines()[0]}. Fix: name the folder that it wrote to, or an empty one."
        ) from None


def with_archive(hot: DataFrame, archived: DataFrame | None) -> DataFrame:
    """``hot`` united with the archived events, each event once, as an archiving that died half-way may leave two."""
    if archived is None:
        log.info("nothing is archived: all that is learnt from is in Postgres")
        return hot
    log.info("archived events are learnt from too")
    return hot.unionByName(archived).dropDuplicates(["event_id", "occurred_at"])


def read_slices(
    spark: SparkSession,
    settings: Settings,
    connection: Connection,
    statement: str,
    schema: str,
    slices: list[dict[str, str]],
) -> DataFrame:
    """Rows of ``statement`` for each of the ``slices`` (named parameters), all seen at the same moment."""
    from pyspark.sql.types import StructType

    exported = connection.execute("select pg_export_snapshot()").fetchone()
    moment, address = (exported or ("",))[0], dsn(settings)
    fields = StructType.fromDDL(schema)

    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import psycopg
        from pyspark.sql.pandas.types import to_arrow_schema

        arrow = to_arrow_schema(fields, timezone="UTC")
        with psycopg.connect(address) as mine:
            mine.execute("set transaction isolation level repeatable read, read only")
            mine.execute(f"set transaction snapshot '{moment}'")
            mine.execute("set local role nearline_engine")
            mine.execute("set local timezone = 'UTC'")
            for batch in batches:
                for place in batch.column(0).to_pylist():
                    with mine.cursor(name="slice", binary=True) as cursor:
                        cursor.itersize = ROWS_A_BATCH
                        cursor.execute(statement, slices[place])
                        while rows := cursor.fetchmany(ROWS_A_BATCH):
                            yield _batch(rows, arrow)

    places = spark.range(len(slices), numPartitions=max(len(slices), 1))
    return places.mapInArrow(read, schema)


def _batch(rows: list[tuple[object, ...]], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow

    columns = zip(*rows, strict=True)
    return pyarrow.RecordBatch.from_arrays(
        [pyarrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )
