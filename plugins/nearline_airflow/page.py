"""The Nearline page: which model is live, how fresh it is, and what a user gets.

The page shows what people search and do, so it is for whom Airflow lets see plugins; the metrics name nobody, and need
only a login. Both are read-only: each request acts as the role ``nearline_reader``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, select_autoescape

from nearline_airflow.metrics import show_metrics
from nearline_airflow.reader import FRESHNESS, Unreadable, reader
from nearline_airflow.words import milliseconds, shown

if TYPE_CHECKING:
    import psycopg

PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=select_autoescape(default=True),  # titles and searches are what strangers typed
    trim_blocks=True,
    lstrip_blocks=True,
)
PAGES.filters |= {"shown": shown, "milliseconds": milliseconds}


def create_app() -> FastAPI:
    """The page and the metrics, as an app whose every answer needs a login of Airflow, and the page a permission."""
    from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
    from airflow.api_fastapi.core_api.security import get_user, requires_access_view

    app = FastAPI(title="Nearline", dependencies=[Depends(get_user)], docs_url=None, redoc_url=None, openapi_url=None)
    may_see = Depends(requires_access_view(AccessView.PLUGINS))
    app.get("/", response_class=HTMLResponse, dependencies=[may_see])(show)
    app.get("/metrics")(show_metrics)
    return app


def show(
    user: Annotated[str, Query(max_length=500)] = "",
    kind: Annotated[str, Query(max_length=100)] = "",
    count: Annotated[int, Query(ge=1, le=100)] = 10,
) -> HTMLResponse:
    """The whole page; a plain ``def``, so that a slow database does not stop Airflow's event loop."""
    user = user.strip()
    facts: dict[str, Any] = {"user": user, "kind": kind, "count": count}
    try:
        with reader() as connection:
            facts |= read(connection, user=user, kind=kind, count=count)
    except Unreadable as problem:
        facts["problem"] = str(problem)
    status = 503 if "problem" in facts else 200
    return HTMLResponse(PAGES.get_template("page.html").render(facts), status_code=status)


def read(connection: psycopg.Connection[dict[str, Any]], *, user: str, kind: str, count: int) -> dict[str, Any]:
    """Everything that the page shows; ``kind`` "" is any."""
    facts = {
        "live": connection.execute("select * from nearline.live_model").fetchone(),
        "freshness": connection.execute(FRESHNESS).fetchall(),
        "versions": connection.execute(
            "select * from nearline.versions where state <> 'dropped' order by model_version desc"
        ).fetchall(),
        "promotions": connection.execute(
            "select * from nearline.promotions order by promotion_id desc limit 8"
        ).fetchall(),
        "judgements": connection.execute(
            "select * from nearline.judgements order by judged_at desc limit 8"
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
