"""The two files that every source of data is turned into, and that the ingest jobs read: items and events."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nearline.errors import InputError

ITEMS = pa.schema(
    [(name, pa.string()) for name in ("item_id", "kind", "title", "description", "attributes", "language")]
)
EVENTS = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("kind", pa.string()),
        ("value", pa.float64()),
        ("text", pa.string()),
        ("occurred_at", pa.timestamp("us", tz="UTC")),
    ]
)


def write_canonical(folder: Path, items: Iterable[Mapping[str, Any]], events: Mapping[str, Any]) -> None:
    """Write ``items.parquet`` and ``events.parquet`` into ``folder``, both or none.

    Parameters
    ----------
    items
        Rows with the columns of `ITEMS`.
    events
        Columns of `EVENTS`, equally long; ``occurred_at`` as datetime64[us] in UTC.

    Raises
    ------
    InputError
        When the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder))
        try:
            pq.write_table(pa.Table.from_pylist(list(items), schema=ITEMS), draft / "items.parquet")
            columns = [
                pa.array(events[field.name], pa.timestamp("us")).cast(field.type)
                if field.name == "occurred_at"
                else pa.array(events[field.name], field.type)
                for field in EVENTS
            ]
            pq.write_table(pa.Table.from_arrays(columns, schema=EVENTS), draft / "events.parquet")
            for name in ("items.parquet", "events.parquet"):
                (draft / name).replace(folder / name)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as problem:
        raise InputError(f"{folder}: cannot write there: {problem.strerror}. Fix: name another folder.") from None
