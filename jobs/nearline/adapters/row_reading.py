"""Input files into a Spark frame of checked rows: each is fit to load or carries the reason why not."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import reduce
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pyarrow import compute

from nearline.adapters.input_files import ITEM, InputFile, Subject
from nearline.core.cleaning import Event, Item, Rejection, clean_event, clean_item

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DUPLICATE = "duplicate"
"""Reason of a row that is there already, word for word: counted, but neither kept nor held against the load."""
CONTENT_CHARACTERS = 1000
"""Of each value of a rejected row are kept."""
ITEM_FIELDS = {
    "item_id": "text", "kind": "text", "title": "text", "description": "text", "language": "text",
    "attributes": "text", "image_uri": "text", "is_active": "boolean",
}  # fmt: skip
EVENT_FIELDS = {
    "event_id": "text", "user_id": "text", "item_id": "text", "kind": "text", "text": "text",
    "value": "double precision", "attributes": "text", "occurred_at": "timestamptz",
}  # fmt: skip
"""Columns of a staging table after source, reason and content; Postgres types."""

COUNTED_MICROSECONDS = (-62_000_000_000_000_000, 253_000_000_000_000_000)
"""Since 1970, of the years 5 and 9987: a file may hold times that Python cannot, and these are refused as well."""
_ARROW = {
    "text": pa.string(),
    "boolean": pa.bool_(),
    "double precision": pa.float64(),
    "timestamptz": pa.timestamp("us", tz="UTC"),
}
_SPARK = {"text": "string", "boolean": "boolean", "double precision": "double", "timestamptz": "timestamp"}


def fields_of(subject: Subject) -> dict[str, str]:
    """Field -> Postgres type of a cleaned row."""
    return ITEM_FIELDS if subject == ITEM else EVENT_FIELDS


def checked_rows(
    spark: SparkSession, files: Sequence[InputFile], subject: Subject, kinds: Collection[str], now: datetime
) -> DataFrame:
    """All rows of ``files``, cleaned.

    Returns
    -------
    DataFrame
        ``source, reason, content`` and `fields_of` the subject. ``reason`` is null where the row is fit to load; else
        the fields are null, and ``content`` is the row as read, as JSON. Of rows with one id the first counts, in
        the order of file names.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    fields = fields_of(subject)
    sources = {str(file.path): file.source for file in files}
    schema = ", ".join(f"{name} {_SPARK[kind]}" for name, kind in fields.items())
    groups: dict[tuple[Any, ...], list[InputFile]] = defaultdict(list)
    for file in files:
        groups[file.format, tuple(file.columns.items())].append(file)
    read = [_read(spark, group, subject) for group in groups.values()]
    clean = _cleaner(subject, fields, sources, frozenset(kinds), now)
    cleaned = reduce(
        lambda one, other: one.unionByName(other),
        (
            frame.mapInArrow(
                clean, f"source string, position long, reason string, content string, print string, {schema}"
            )
            for frame in read
        ),
    )
    key = f"{subject.name}_id"
    # Rejected rows have no id: each is alone in its window, or all of them would be sorted by one task.
    same = Window.partitionBy(key, f.when(f.col(key).isNull(), f.struct("source", "position"))).orderBy(
        "source", "position"
    )
    conflict = f"{key} seen twice with different content"
    marked = (
        cleaned.withColumn("turn", f.row_number().over(same))
        .withColumn("first_print", f.first("print").over(same))
        .withColumn(
            "reason",
            f.when(f.col("reason").isNotNull() | (f.col("turn") == 1), f.col("reason"))
            .when(f.col("print") == f.col("first_print"), DUPLICATE)
            .otherwise(conflict),
        )
    )
    as_json = f.to_json(f.struct(*(name for name in fields)))
    return marked.withColumn(
        "content", f.when(f.col("reason") == conflict, as_json).otherwise(f.col("content"))
    ).select("source", "reason", "content", *fields)


def _read(spark: SparkSession, files: Sequence[InputFile], subject: Subject) -> DataFrame:
    """Files of one format with the same columns: ``source, position``, all columns of the subject, ``broken``."""
    from pyspark.sql import functions as f

    # Plain paths would be looked for in HDFS where that is the default.
    paths = [f"file://{file.path}" for file in files]
    types = files[0].columns
    wanted = [name for name in subject.columns if name in types]
    if files[0].format == "parquet":
        frame = spark.read.parquet(*paths).withColumn("broken", f.lit(None).cast("string"))
    elif files[0].format == "csv":
        # Names that nobody asks for may be anything: they get one of ours.
        names = [name if name in wanted else f"ignored_{number}" for number, name in enumerate(types)]
        frame = spark.read.csv(
            paths,
            schema=", ".join(f"`{name}` string" for name in [*names, "broken"]),
            header=True,
            multiLine=True,  # a description may have line breaks; the price is that a file is read by one task
            escape='"',
            mode="PERMISSIVE",
            columnNameOfCorruptRecord="broken",
        )
    else:
        frame = spark.read.json(
            paths,
            schema=", ".join(f"`{name}` string" for name in [*wanted, "broken"]),
            mode="PERMISSIVE",
            columnNameOfCorruptRecord="broken",
        )
    columns = [
        f.col("_metadata.file_path").alias("source"),
        f.monotonically_increasing_id().alias("position"),
        "broken",
    ]
    for name in subject.columns:
        if name not in types:
            columns.append(f.lit(None).cast("string").alias(name))
        elif types[name].startswith("timestamp[ns"):
            columns.append(f.expr(f"timestamp_micros({name} div 1000)").alias(name))
        elif types[name].startswith("timestamp") or types[name] == "int96":
            columns.append(f.col(name))
        else:
            columns.append(f.col(name).cast("string").alias(name))
    return frame.select(*columns)


def _cleaner(
    subject: Subject, fields: Mapping[str, str], sources: Mapping[str, str], kinds: Collection[str], now: datetime
) -> Any:
    """The function that Spark sends to its Python workers."""
    names = ("source", "position", "reason", "content", "print", *fields)
    types = [
        pa.string(),
        pa.int64(),
        pa.string(),
        pa.string(),
        pa.string(),
        *(_ARROW[kind] for kind in fields.values()),
    ]
    nothing = (None,) * len(fields)

    def clean(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            columns = [cell_values(column) for column in batch.columns]
            rows = []
            for values in zip(*columns, strict=True):
                row = dict(zip(batch.schema.names, values, strict=True))
                uri, position, broken = row.pop("source"), row.pop("position"), row.pop("broken")
                source = sources[unquote(urlsplit(uri).path)]
                found = Rejection("the row is not of the file's format") if broken else _check(subject, row, kinds, now)
                if isinstance(found, Rejection):
                    content = _content({"row": broken} if broken else row)
                    rows.append((source, position, found.reason, content, None, *nothing))
                else:
                    cells = tuple(getattr(found, name) for name in fields)
                    rows.append((source, position, None, None, _print(cells), *cells))
            arrays = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), types, strict=True)]
            if rows:
                yield pa.RecordBatch.from_arrays(arrays, names=list(names))

    return clean


def _check(subject: Subject, row: Mapping[str, Any], kinds: Collection[str], now: datetime) -> Item | Event | Rejection:
    return clean_item(row) if subject == ITEM else clean_event(row, kinds, now)


def cell_values(column: pa.Array) -> list[Any]:
    """Values of one column as Python knows them; where it cannot hold one, another that is rejected for its reason."""
    if pa.types.is_timestamp(column.type):  # in microseconds, as Spark has it
        within = compute.min_element_wise(column.cast(pa.int64()), COUNTED_MICROSECONDS[1], skip_nulls=False)
        column = compute.max_element_wise(within, COUNTED_MICROSECONDS[0], skip_nulls=False).cast(column.type)
    try:
        found: list[Any] = column.to_pylist()
        return found
    except UnicodeDecodeError:  # Parquet promises UTF-8 and does not check; U+FFFD makes the row fail with its reason
        values = column.cast(pa.binary()).to_pylist()
        return [None if value is None else value.decode("utf-8", errors="replace") for value in values]


def _content(row: Mapping[str, Any]) -> str:
    """The row as JSON that Postgres can store: without NUL, long values cut."""
    kept = {
        name: str(value)[:CONTENT_CHARACTERS].replace("\0", "\ufffd")
        for name, value in row.items()
        if value is not None
    }
    return json.dumps(kept, ensure_ascii=False)


def _print(cells: tuple[Any, ...]) -> str:
    return hashlib.md5(repr(cells).encode(), usedforsecurity=False).hexdigest()
