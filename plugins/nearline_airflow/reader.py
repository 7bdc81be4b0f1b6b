"""Postgres as the page, the metrics and the alert read it: as the role ``nearline_reader``, and for seconds at most."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg
    from airflow.models.connection import Connection

CONNECTION = "nearline_postgres"

FRESHNESS = "select f.*, now() - f.cursor_moved_at as cursor_age from nearline.freshness f order by f.shard"
"""One row for each share of the people; before the first model one row, without a share."""


class Unreadable(Exception):
    """Nothing can be read; its text says why, and the fix."""


@contextmanager
def reader() -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """Open a connection whose rows are dictionaries, that cannot write, and whose every statement has five seconds.

    Raises
    ------
    Unreadable
        Also for what fails inside the ``with``.
    """
    import psycopg
    from psycopg.rows import dict_row

    found = connection(CONNECTION)
    if found is None:
        raise Unreadable(f"Airflow has no connection {CONNECTION}. Add one of type Postgres.")
    place = {"host": found.host, "port": found.port, "user": found.login, "password": found.password}
    place |= {"dbname": found.schema, **found.extra_dejson}
    try:
        with psycopg.connect(
            **{name: value for name, value in place.items() if value is not None},
            connect_timeout=5,
            row_factory=dict_row,
        ) as opened:
            opened.execute("set transaction read only")
            opened.execute("set local statement_timeout = '5s'")
            opened.execute("set local role nearline_reader")
            yield opened
    except psycopg.errors.QueryCanceled:  # an OperationalError too
        raise Unreadable(
            "Postgres needed more than five seconds. Is something heavy running? Try again in a while."
        ) from None
    except psycopg.OperationalError:
        raise Unreadable(f"Postgres (Airflow's connection {CONNECTION}) does not answer. Start it: make up") from None
    except psycopg.ProgrammingError as problem:
        first = str(problem).splitlines()[0]
        raise Unreadable(
            f"This database has not the schema of this version ({first}). Deploy it: make migrate"
        ) from None


def connection(name: str) -> Connection | None:
    """Look up a connection of Airflow; None: there is none by that name.

    Core's own call, because it works on both sides: a web server asks Airflow's database, a callback its API.
    """
    from airflow.models.connection import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return Connection.get_connection_from_secrets(name)
    except AirflowNotFoundException:
        return None
