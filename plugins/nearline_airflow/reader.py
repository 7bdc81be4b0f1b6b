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
"""One row for each shard of the people; before the first model one row, without a shard."""


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
    try:
        with psycopg.connect(**_place(found), row_factory=dict_row) as opened:
            opened.execute("set transaction read only")
            opened.execute("set local statement_timeout = '5s'")
            _become_reader(opened)
            yield opened
    except psycopg.errors.QueryCanceled:  # an OperationalError too
        raise Unreadable(
            "Postgres needed more than five seconds. Is something heavy running? Try again in a while."
        ) from None
    except psycopg.OperationalError:
        raise Unreadable(
            f"Postgres (Airflow's connection {CONNECTION}) does not answer."
            " See that it runs and that the connection is right (local stack: make up)."
        ) from None
    except psycopg.ProgrammingError as problem:
        raise _of_another_version(problem) from None
    except psycopg.DataError as problem:
        raise Unreadable(f"Postgres cannot answer that ({_first_line(problem)}). Ask otherwise.") from None


def _place(found: Connection) -> dict[str, Any]:
    """What libpq is told: extra may also hold words for Airflow's own hooks, such as iam, which libpq would refuse."""
    from psycopg.pq import Conninfo

    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    place = {"host": found.host, "port": found.port, "user": found.login, "password": found.password}
    place |= {"dbname": found.schema} | {name: value for name, value in found.extra_dejson.items() if name in known}
    place["connect_timeout"] = 5
    return {name: value for name, value in place.items() if value is not None}


def _become_reader(opened: psycopg.Connection[Any]) -> None:
    import psycopg

    try:
        opened.execute("set local role nearline_reader")
    except psycopg.errors.InvalidParameterValue as problem:  # there is no such role
        raise _of_another_version(problem) from None
    except psycopg.errors.InsufficientPrivilege:
        login = opened.info.user
        raise Unreadable(
            f"The login {login} of Airflow's connection {CONNECTION} may not read Nearline."
            f" Let it: grant nearline_reader to {login};"
        ) from None


def _of_another_version(problem: psycopg.Error) -> Unreadable:
    return Unreadable(
        f"This database has not the schema of this version ({_first_line(problem)}). Deploy it: make migrate"
    )


def _first_line(problem: Exception) -> str:
    return str(problem).splitlines()[0]


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
