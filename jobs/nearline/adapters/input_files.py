"""Files to load: found, told apart and checked before anything reads them."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nearline.errors import InputError

FORMATS = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}
NAMES = ("items", "events")
"""In a folder of both, the files or folders named so are one and the other."""
HEAD_LINES = 100
"""Lines of a JSON Lines file that are looked at for its columns; an optional one may be missing from some."""


@dataclass(frozen=True)
class Subject:
    """What a file is about, and the columns it must and may have."""

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read; others are ignored."""
        return self.required + self.optional


ITEM = Subject(
    "item", ("item_id", "kind", "title"), ("description", "language", "attributes", "image_uri", "is_active")
)
EVENT = Subject("event", ("user_id", "item_id", "kind", "occurred_at"), ("event_id", "value", "text", "attributes"))


@dataclass(frozen=True)
class InputFile:
    """A file that can be read: ``columns`` maps its columns, in order, to their types (all "text" but in Parquet)."""

    path: Path
    digest: str
    format: str
    columns: Mapping[str, str]

    @property
    def source(self) -> str:
        """How rejected rows name it: another file of the same name is another source."""
        return f"{self.path} ({self.digest[:12]})"


def find_files(place: Path, subject: Subject) -> list[Path]:
    """``place`` itself, or the data files below it in order of name.

    A folder that holds both catalogue and events has them in files or folders named ``items`` and ``events``: then only
    those of ``subject`` are taken.

    Raises
    ------
    InputError
        When there is nothing to read, or it may not be read.
    """
    _check_access(place)
    if os.path.isfile(place):
        if place.suffix not in FORMATS:
            raise InputError(f"{place}: expected a name that ends in {', '.join(FORMATS)}. Fix: rename or convert it.")
        return [place.resolve()]
    if not os.path.isdir(place):  # nor within reach: pathlib would raise what the system says of a folder above it
        raise InputError(
            f"{place}: there is no such file or folder, or the user {os.geteuid()}, as whom this runs, cannot reach "
            "it. Fix: correct the path."
        )
    place = place.resolve()
    below = [
        path
        for path in sorted(place.rglob("*"))
        if not any(part.startswith(("_", ".")) for part in path.relative_to(place).parts)
    ]
    found = [path for path in below if path.suffix in FORMATS and path.is_file()]
    named = [path for path in found if path.relative_to(place).parts[0].split(".")[0] in NAMES]
    if named:
        found = [path for path in named if path.relative_to(place).parts[0].split(".")[0] == f"{subject.name}s"]
    if not found:
        raise InputError(
            f"{place}: expected {subject.name}s in files that end in {', '.join(FORMATS)}, saw none. "
            "Fix: name the folder that has them."
        )
    for path in [*(path for path in below if path.is_dir()), *found]:
        _check_access(path)
    return found


def _check_access(path: Path) -> None:
    """Raise where this process may not read a file or folder: the search for files passes over what it cannot open."""
    is_folder = os.path.isdir(path)
    if os.path.exists(path) and not os.access(path, os.R_OK | os.X_OK if is_folder else os.R_OK):
        raise InputError(
            f"{path}: the user {os.geteuid()}, as whom this runs, may not read it. "
            f"Fix: chmod -R a+rX {path if is_folder else path.parent}"
        )


def digest_of(path: Path) -> str:
    """SHA-256 of the bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def inspect(path: Path, digest: str, subject: Subject) -> InputFile:
    """Look at the head (Parquet: the footer) of a file.

    Raises
    ------
    InputError
        When it is empty or broken, lacks a column, or has one of a type that cannot be meant.
    """
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty, it has not even column names. Fix: write it again.")
    form = FORMATS[path.suffix]
    columns = {"parquet": _parquet_columns, "csv": _csv_columns, "jsonl": _json_columns}[form](path)
    missing = [name for name in subject.required if name not in columns]
    if missing:
        raise InputError(
            f"{path}: expected the columns {', '.join(subject.required)}; {', '.join(missing)} missing, saw "
            f"{', '.join(columns)[:300]}.{_columns_fix(path, form, columns)}"
        )
    for name in subject.columns:
        if form == "parquet" and name in columns:
            _check_type(path, name, columns[name])
    return InputFile(path, digest, form, columns)


def _parquet_columns(path: Path) -> dict[str, str]:
    try:
        with pq.ParquetFile(path) as file:
            types = {field.name: str(field.type) for field in file.schema_arrow}
            for number in range(len(file.schema)):
                column = file.schema.column(number)
                # Spark's old encoding of a time; always UTC though it does not say so.
                if column.physical_type == "INT96":
                    types[column.path] = "int96"
            return types
    except (pa.ArrowException, OSError) as problem:
        raise InputError(f"{path}: not a whole Parquet file ({problem}). Fix: write or copy it again.") from None


def _csv_columns(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        header = next(csv.reader(file), [])
    twice = {name for name in header if header.count(name) > 1}
    if twice:
        raise InputError(
            f"{path}: expected each column once, saw {', '.join(sorted(twice))} more than once. "
            "Fix: remove or rename the others."
        )
    return dict.fromkeys(header, "text")


def _json_columns(path: Path) -> dict[str, str]:
    columns: dict[str, str] = {}
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for line in itertools.islice(file, HEAD_LINES):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict):
                columns |= dict.fromkeys(row, "text")
    if not columns:
        raise InputError(
            f"{path}: expected JSON Lines, one object a line; none of the first {HEAD_LINES} lines is one. "
            "Fix: write each object on a line of its own, without a list around them."
        )
    return columns


def _columns_fix(path: Path, form: str, columns: Mapping[str, str]) -> str:
    if form != "csv" or len(columns) != 1:
        named = any(part.split(".")[0] in NAMES for part in path.parts[-2:])
        apart = "" if named else "; in a folder of items and events, name the files items.* and events.*"
        return f" Fix: rename or add them{apart}."
    header = next(iter(columns))
    found = max(";\t|", key=header.count)
    name = {"\t": "a tab"}.get(found, f"'{found}'")
    return f" It looks as if {name} separates its columns. Fix: write it with commas." if found in header else ""


def _check_type(path: Path, name: str, seen: str) -> None:
    text = seen in ("string", "large_string", "string_view", "null") or "values=string" in seen
    number = seen.startswith(("int", "uint", "float", "double", "decimal")) and seen != "int96"
    how = "convert it"
    if name == "occurred_at":
        fine, wanted = (
            text or seen == "int96" or (seen.startswith("timestamp") and "tz=" in seen),
            "a time with its zone",
        )
        how = "write it as a timestamp of UTC, or as text such as 2026-11-01T12:00:00Z"
    elif name in ("value", "position"):
        fine, wanted = text or number, "a number"
    elif name == "is_active":
        fine, wanted = text or seen == "bool", "true or false"
    elif name.endswith("_id"):
        fine, wanted = text or "int" in seen, "text"
    else:
        fine, wanted = text, "text"
    if not fine:
        raise InputError(f"{path}: expected {wanted} in the column {name}, saw the type {seen}. Fix: {how}.")
