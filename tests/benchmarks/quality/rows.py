"""Rows of Parquet, CSV and JSON Lines files, one after another, as the cleaning of `nearline.core` reads them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nearline.adapters.input_files import InputFile, Subject
from nearline.adapters.row_reading import cell_values
from nearline.errors import InputError

Row = dict[str, Any]


def read_rows(files: Iterable[InputFile], subject: Subject) -> Iterator[Row]:
    """Columns of ``subject`` that are there, in the order of the files; ids as text, times as aware datetimes."""
    readers = {"parquet": _parquet, "csv": _csv, "jsonl": _json_lines}
    for file in files:
        wanted = [name for name in subject.columns if name in file.columns]
        yield from readers[file.format](file.path, wanted)


def _parquet(path: Path, wanted: list[str]) -> Iterator[Row]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=wanted):
            columns = []
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                if name.endswith("_id"):
                    column = column.cast(pa.string())
                elif pa.types.is_timestamp(column.type):
                    # Finer than a microsecond is cut off, as in ingest.
                    column = column.cast(pa.timestamp("us", tz="UTC"), safe=False)
                columns.append(cell_values(column))
            for values in zip(*columns, strict=True):
                yield dict(zip(batch.schema.names, values, strict=True))


def _csv(path: Path, wanted: list[str]) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.DictReader(file)
        _ = reader.fieldnames  # reads the header, or the first row would seem to begin on its line
        while True:
            line = reader.line_num + 1  # on which the row begins; a quote that nobody closes takes in those that follow
            try:
                row = next(reader, None)
            except csv.Error as problem:
                raise InputError(
                    f"{path}: the row of line {line} cannot be read ({problem}). Fix: close the quote that opens in "
                    "it, or shorten its text."
                ) from None
            if row is None:
                return
            yield {name: row[name] or None for name in wanted}


def _json_lines(path: Path, wanted: list[str]) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for line in file:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = {}
            found = row if isinstance(row, dict) else {}
            yield {name: _as_text(found.get(name)) for name in wanted}


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
