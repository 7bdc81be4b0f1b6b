"""Loads files into the catalogue or the ledger, all or nothing.

Executors clean the rows and COPY them into a staging table of this load. One transaction on the driver then merges the
staging table and records the files, so the same file twice changes nothing and a failure leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql

from nearline.adapters.input_files import EVENT, InputFile, Subject, digest_of, find_files, inspect
from nearline.adapters.postgres import Connection, connect, queries
from nearline.adapters.row_reading import DUPLICATE, checked_rows, fields_of
from nearline.adapters.spark import copy_to_postgres, session
from nearline.errors import DatabaseError, InputError, NearlineError
from nearline.settings import Settings

log = logging.getLogger("nearline.ingest")


@dataclass
class Summary:
    """What a load did. ``rejected`` counts rows by reason; ``read = loaded + unchanged + duplicates + rejected``."""

    files: int = 0
    files_loaded_before: int = 0
    read: int = 0
    loaded: int = 0
    unchanged: int = 0
    duplicates: int = 0
    rejected: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """Three lines for a person."""
        reasons = "".join(f"; {count:,} {reason}" for reason, count in self.rejected.items())
        return (
            f"read {self.read:,} rows of {self.files} files, {self.files_loaded_before} more were loaded before\n"
            f"loaded {self.loaded:,} new or changed, {self.unchanged:,} there already, {self.duplicates:,} duplicates\n"
            f"rejected {sum(self.rejected.values()):,}{reasons}"
        )


def ingest(settings: Settings, subject: Subject, place: Path) -> Summary:
    """Load the file or folder ``place``; files that were loaded before are skipped.

    Raises
    ------
    InputError
        When a file cannot be used, or more than ``settings.max_rejected_share`` of the rows are rejected; these are
        kept in ``nearline_data.rejected_row``, and nothing is loaded.
    DatabaseError
        When Postgres cannot be reached or fails on the way; nothing is loaded.
    """
    digests = {digest_of(path): path for path in reversed(find_files(place, subject))}
    staging = f"staging_{subject.name}_{hashlib.sha256(''.join(sorted(digests)).encode()).hexdigest()[:16]}"
    with connect(settings, autocommit=True) as connection:
        try:
            if not _one(connection, "lock", name=staging):
                raise InputError(f"{place}: another process is loading it. Fix: wait for that to end.")
            rows = connection.execute(_query("loaded_digests"), {"subject": subject.name, "digests": list(digests)})
            before = {digest for (digest,) in rows}
            files = [inspect(path, digest, subject) for digest, path in digests.items() if digest not in before]
            files.sort(key=lambda file: file.path)
            if not files:
                return Summary(files_loaded_before=len(before))
            try:
                _stage(settings, connection, subject, files, staging)
                summary = _merge(settings, connection, subject, files, staging, sorted(before))
            finally:
                if not connection.broken:
                    connection.execute(_query("drop_staging", staging))
        except psycopg.OperationalError as problem:
            raise DatabaseError(
                f"Postgres failed during the load: {str(problem).splitlines()[0]}. All of it is loaded or nothing. "
                "Fix: see that it runs, then start the load again; what is loaded is passed over."
            ) from problem
        connection.execute(_query("analyze"))
        summary.files_loaded_before = len(before)
        return summary


def _query(name: str, staging: str | None = None) -> sql.SQL | sql.Composed:
    query = queries("ingest")[name]
    return query.format(staging=sql.Identifier("nearline_load", staging)) if staging else query


def _one(connection: Connection, query: str, staging: str | None = None, **parameters: object) -> object:
    row = connection.execute(_query(query, staging), parameters or None).fetchone()
    return row[0] if row else None


def _stage(settings: Settings, connection: Connection, subject: Subject, files: list[InputFile], staging: str) -> None:
    """Clean all rows and COPY them, from the executors, into a new staging table."""
    from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
    from pyspark.errors import PySparkException

    connection.execute(_query("drop_staging", staging))  # what a killed load left
    connection.execute(_query(f"create_{subject.name}_staging", staging))
    kinds = {kind for (kind,) in connection.execute(_query("event_kinds"))}
    spark = session(settings, f"ingest {subject.name}s")
    columns = {"source": "text", "reason": "text", "content": "text", **fields_of(subject)}
    try:
        rows = checked_rows(spark, files, subject, kinds, datetime.now(UTC))
        count = copy_to_postgres(rows, settings, f"nearline_load.{staging}", columns)
    except (PySparkException, Py4JJavaError) as problem:
        raise _explained(problem, files) from problem
    log.info("%d rows of %d files are staged", count, len(files))


def _merge(
    settings: Settings,
    connection: Connection,
    subject: Subject,
    files: list[InputFile],
    staging: str,
    passed_over: list[str],
) -> Summary:
    """Judge the staged rows, and load all that are fit in one transaction."""
    if subject == EVENT:
        connection.execute(_query("reject_unknown_items", staging))
    counts: dict[str | None, int] = dict(connection.execute(_query("count_reasons", staging)).fetchall())
    fit, duplicates = counts.pop(None, 0), counts.pop(DUPLICATE, 0)
    reasons = {str(reason): count for reason, count in counts.items()}
    rejected = sum(reasons.values())
    summary = Summary(len(files), read=fit + duplicates + rejected, duplicates=duplicates, rejected=reasons)
    refused = rejected > settings.max_rejected_share * summary.read
    if subject == EVENT and not refused:
        # By itself: it locks the ledger until its transaction ends, and the nearline job wants that lock too.
        connection.execute(_query("ensure_partitions", staging))
    with connection.transaction():
        # A load that failed may be tried again: its rejections replace those of the last time.
        connection.execute(
            _query("forget_rejections"), {"subject": subject.name, "sources": [file.source for file in files]}
        )
        connection.execute(_query("keep_rejections", staging), {"subject": subject.name, "duplicate": DUPLICATE})
        if not refused:
            summary.loaded = connection.execute(_query(f"merge_{subject.name}s", staging)).rowcount
            for file in files:
                connection.execute(
                    _query("record_file", staging),
                    {"digest": file.digest, "subject": subject.name, "path": str(file.path), "source": file.source},
                )
            connection.execute(_query("record_again"), {"subject": subject.name, "digests": passed_over})
    summary.unchanged = fit - summary.loaded
    if refused:
        told = "; ".join(f"{count:,} {reason}" for reason, count in reasons.items())
        raise InputError(
            f"{rejected:,} of {summary.read:,} rows are rejected, more than NEARLINE_MAX_REJECTED_SHARE = "
            f"{settings.max_rejected_share:g} allows; nothing is loaded. Reasons: {told}. "
            "The rows are in nearline_data.rejected_row. Fix: correct the files, or raise the share."
        )
    return summary


def _explained(problem: Exception, files: list[InputFile]) -> NearlineError:
    """What a person needs to know of a Spark failure: Spark says it in two pages."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    database = [line for line in lines if line.startswith(("psycopg.", "nearline.errors.DatabaseError"))]
    if database:
        return DatabaseError(f"Postgres failed during the load, nothing is loaded: {database[-1].partition(': ')[2]}")
    names = ", ".join(str(file.path) for file in files[:3])
    return InputError(f"{names}: Spark cannot read it: {lines[0][:300]}. Fix: write the file again.")
