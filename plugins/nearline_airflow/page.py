"""The Nearline page: which model is live, how fresh it is, and what a user gets.

Behind Airflow's login like every page of its API, and read-only: each request acts as the role ``nearline_reader``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, select_autoescape

if TYPE_CHECKING:
    import psycopg

CONNECTION = "nearline_postgres"

PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=select_autoescape(default=True),  # titles and searches are what strangers typed
    trim_blocks=True,
    lstrip_blocks=True,
)


def create_app() -> FastAPI:
    """The page as an app whose every answer needs a valid Airflow login."""
    from airflow.api_fastapi.core_api.security import get_user

    app = FastAPI(title="Nearline", dependencies=[Depends(get_user)], docs_url=None, redoc_url=None, openapi_url=None)
    app.get("/", response_class=HTMLResponse)(show)
    return app


def show(
    user: Annotated[str, Query(max_length=500)] = "",
    kind: Annotated[str, Query(max_length=100)] = "",
    count: Annotated[int, Query(ge=1, le=100)] = 10,
) -> HTMLResponse:
    """The whole page; a plain ``def``, so that a slow database does not stop Airflow's event loop."""
    import psycopg

    facts: dict[str, Any] = {"user": user, "kind": kind, "count": count}
    try:
        with _reader() as connection:
            facts |= read(connection, user=user.strip(), kind=kind, count=count)
    except psycopg.OperationalError:
        facts["problem"] = f"Postgres (Airflow's connection {CONNECTION}) does not answer. Start it: make up"
    except psycopg.errors.QueryCanceled:
        facts["problem"] = "Postgres needed more than five seconds. Is something heavy running? Try again in a while."
    except psycopg.ProgrammingError as problem:
        first = str(problem).splitlines()[0]
        facts["problem"] = f"This database has not the schema of this version ({first}). Deploy it: make migrate"
    except LookupError as problem:
        facts["problem"] = str(problem)
    status = 503 if "problem" in facts else 200
    return HTMLResponse(PAGES.get_template("page.html").render(facts), status_code=status)


def read(connection: psycopg.Connection[dict[str, Any]], *, user: str, kind: str, count: int) -> dict[str, Any]:
    """Everything that the page shows; ``kind`` "" is any."""
    live = connection.execute("select * from nearline.live_model").fetchone()
    facts = {
        "live": live,
        "freshness": connection.execute("select * from nearline.freshness").fetchone(),
        "promotions": connection.execute(
            "select * from nearline.promotions order by promotion_id desc limit 8"
        ).fetchall(),
    }
    if user:
        facts["events"] = connection.execute(
            "select * from nearline.recent_events(of_user => %s, max_events => 5)", (user,)
        ).fetchall()
        facts["recommendations"] = connection.execute(
            "select * from nearline.recommend(for_user => %s, max_items => %s, item_kinds => %s)",
            (user, count, [kind] if kind else None),
        ).fetchall()
    return facts


@contextmanager
def _reader() -> Iterator[psycopg.Connection[dict[str, Any]]]:
    import psycopg
    from airflow.models.connection import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException
    from psycopg.rows import dict_row

    try:
        found = Connection.get_connection_from_secrets(CONNECTION)
    except AirflowNotFoundException:
        raise LookupError(f"Airflow has no connection {CONNECTION}. Add one of type Postgres.") from None
    place = {"host": found.host, "port": found.port, "user": found.login, "password": found.password}
    place |= {"dbname": found.schema, **found.extra_dejson}
    with psycopg.connect(
        **{name: value for name, value in place.items() if value is not None},
        connect_timeout=5,
        row_factory=dict_row,
    ) as connection:
        connection.execute("set transaction read only")
        connection.execute("set local statement_timeout = '5s'")
        connection.execute("set local role nearline_reader")
        yield connection


def shown(value: Any) -> str:
    """A value as a person reads it."""
    if value is None:
        return "—"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.1f} s"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


PAGES.filters["shown"] = shown
