"""Postgres: connections, the named queries of sql/queries, and binary COPY."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from pgvector import Vector
from pgvector.psycopg import register_vector
from psycopg import sql
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Format

from nearline.adapters import embedded_postgres
from nearline.core.interest import DIM
from nearline.errors import DatabaseError, DatabaseUnreachable
from nearline.settings import Settings

ENGINE = "nearline_engine"
_GONE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
"""When the other side of a TCP connection counts as gone: after a minute, where Linux waits for two hours."""
_SESSION = "; ".join(["set timezone = 'UTC'", *(f"set tcp_{n.removeprefix('tcp_')} = {v}" for n, v in _GONE.items())])
"""What a job whose machine is gone has locked its successor waits for, so the server is told when that is."""

Connection = psycopg.Connection[tuple[Any, ...]]


def sql_folder() -> Path:
    """Folder ``sql/``: inside the installed package, or beside ``jobs/`` in a checkout.

    Raises
    ------
    DatabaseError
        When neither is there.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "sql", package.parents[1] / "sql"):
        if (folder / "migrations").is_dir():
            return folder
    raise DatabaseError(f"sql/ is neither in {package} nor in {package.parents[1]}. Fix: install Nearline again.")


@cache
def queries(name: str) -> dict[str, sql.SQL]:
    """Named blocks of ``sql/queries/<name>.sql``, ready to execute or to ``format``."""
    text = (sql_folder() / "queries" / f"{name}.sql").read_text(encoding="utf-8")
    return {block: sql.SQL(body) for block, body in parse_queries(text).items()}  # type: ignore[arg-type]


def parse_queries(text: str) -> dict[str, str]:
    r"""Split a file of named blocks at its ``-- name --`` lines.

    >>> parse_queries("-- one --\nselect 1;\n-- two --\n-- why\nselect 2;")
    {'one': 'select 1', 'two': '-- why\nselect 2'}
    """
    parts = re.split(r"^-- (\w+) --$", text, flags=re.MULTILINE)
    return {name: body.strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def dsn(settings: Settings) -> str:
    """The DSN to connect to: the one that is set, or the embedded server's."""
    return settings.dsn or embedded_postgres.dsn(settings)


def connect(settings: Settings, *, role: str | None = ENGINE, autocommit: bool = False) -> Connection:
    """Connect, act as ``role`` (None: as who logged in), and send and receive vectors in binary.

    Raises
    ------
    DatabaseError
        When the role is not there or not granted, or pgvector is missing.
    DatabaseUnreachable
        When the server cannot be reached. The message names host and database, never user or password.
    """
    address = dsn(settings)
    place = conninfo_to_dict(address)
    where = f"{place.get('host', 'the local socket')}, database {place.get('dbname', 'of the user')}"
    try:
        ours = {name: value for name, value in {"connect_timeout": 10, **_GONE}.items() if name not in place}
        connection = psycopg.connect(make_conninfo(address, **ours), autocommit=True)
    except psycopg.OperationalError as problem:
        fix = "check NEARLINE_DSN and that the server runs" if settings.dsn else "start it with `make up`"
        reason = str(problem).splitlines()[0].rsplit("failed: ", maxsplit=1)[-1]
        raise DatabaseUnreachable(f"Postgres at {where} cannot be reached: {reason}. Fix: {fix}.") from None
    try:
        connection.execute(_SESSION)
        if role:
            connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
            _use_arrays(connection)
    except psycopg.errors.InvalidParameterValue:
        connection.close()
        raise DatabaseError(
            f"Postgres at {where} has no role {role}. Fix: deploy the schema with `make migrate`."
        ) from None
    except psycopg.errors.InsufficientPrivilege:
        connection.close()
        raise DatabaseError(f"The user of the DSN may not act as {role}. Fix: grant {role} to it.") from None
    except psycopg.ProgrammingError:
        connection.close()
        raise DatabaseError(
            f"Postgres at {where} has no pgvector. Fix: deploy the schema with `make migrate`."
        ) from None
    connection.autocommit = autocommit
    return connection


def copy_rows(
    connection: Connection, table: str, columns: Sequence[str], types: Sequence[str], rows: Iterable[Sequence[Any]]
) -> int:
    """Binary COPY into ``nearline_data.<table>``; returns the number of rows.

    Parameters
    ----------
    types
        Postgres type of each column; binary COPY converts nothing, so they must be the table's own.
    """
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(
        sql.Identifier("nearline_data", table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    count = 0
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)
            count += 1
    return count


class VectorArray:
    """Vectors (DIM,) as one parameter of type ``vector[]``; pgvector's own dumper would take them one by one."""

    def __init__(self, vectors: Sequence[np.ndarray]) -> None:
        self.vectors = vectors


class _VectorArrayDumper(Dumper):
    """As PostgreSQL's array_recv and pgvector's vector_recv read it: a header, then the length and bytes of each."""

    format = Format.BINARY
    element_oid: int
    element = np.dtype([("length", ">i4"), ("width", ">i2"), ("unused", ">i2"), ("numbers", ">f4", (DIM,))])

    def dump(self, obj: VectorArray) -> bytes:
        elements = np.zeros(len(obj.vectors), self.element)
        elements["length"], elements["width"] = self.element.itemsize - 4, DIM
        for element, vector in zip(elements["numbers"], obj.vectors, strict=True):
            element[:] = vector
        dimensions, has_nulls, first = 1, 0, 1
        header = struct.pack("!5i", dimensions, has_nulls, self.element_oid, len(elements), first)
        return header + elements.tobytes()


class _TextToArray(Loader):
    def load(self, data: Buffer) -> np.ndarray:
        return np.asarray(Vector.from_text(bytes(data).decode()).to_numpy(), dtype=np.float32)


class _BinaryToArray(Loader):
    """Two int16 (length, unused), then float32 in network order."""

    format = Format.BINARY

    def load(self, data: Buffer) -> np.ndarray:
        return np.frombuffer(data, dtype=">f4", offset=4).astype(np.float32)


def _use_arrays(connection: Connection) -> None:
    """Exchange vectors as float32 arrays; pgvector's own loader gives objects that must be converted one by one."""
    register_vector(connection)
    vector = connection.adapters.types["vector"]
    connection.adapters.register_loader(vector.oid, _TextToArray)
    connection.adapters.register_loader(vector.oid, _BinaryToArray)
    # An extension's types have other numbers in each database.
    dumper = type("VectorArrayDumper", (_VectorArrayDumper,), {"oid": vector.array_oid, "element_oid": vector.oid})
    connection.adapters.register_dumper(VectorArray, dumper)
