"""What nearline.freshness says, as OpenMetrics 1.0, for Prometheus and whatever else reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from fastapi import Response
from fastapi.responses import PlainTextResponse

from nearline_airflow.reader import FRESHNESS, Unreadable, reader

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Gauge(NamedTuple):
    """A metric: a column of nearline.freshness; a name that ends in the unit, if it has one."""

    name: str
    unit: str
    column: str
    help: str
    is_of_all: bool = False  # the same number in every row


GAUGES = (
    Gauge("nearline_lag_p50_seconds", "seconds", "lag_p50_ms",
          "From the record of an event to the write of the vector, median of the last hour."),
    Gauge("nearline_lag_p95_seconds", "seconds", "lag_p95_ms",
          "From the record of an event to the write of the vector, 95th percentile of the last hour."),
    Gauge("nearline_lag_max_seconds", "seconds", "lag_max_ms",
          "From the record of an event to the write of the vector, longest of the last hour."),
    Gauge("nearline_lag_p95_last_minute_seconds", "seconds", "lag_p95_now_ms",
          "From the record of an event to the write of the vector, 95th percentile of the last minute."),
    Gauge("nearline_backlog_events", "events", "backlog_events", "Committed events that are not yet in a vector."),
    Gauge("nearline_backlog_age_seconds", "seconds", "backlog_age",
          "How long the oldest event that is not yet in a vector has waited; 0 where none does."),
    Gauge("nearline_events_per_second", "", "events_per_second", "Events that went into vectors, of the last minute."),
    Gauge("nearline_users_per_second", "", "users_per_second", "Vectors written, of the last minute."),
    Gauge("nearline_cursor_age_seconds", "seconds", "cursor_age",
          "Since refresh_interests last made a step; grows while no event comes."),
    Gauge("nearline_live_model_version", "", "model_version", "The live version.", True),
    Gauge("nearline_rejected_rows_last_hour", "", "rejected_last_hour",
          "Rows that loads and refreshes set aside in the last hour.", True),
    Gauge("nearline_waiting_events", "events", "waiting_events",
          "People and items that wait for the item to get a vector.", True),
)  # fmt: skip


def show_metrics() -> Response:
    """Answer a scrape; a plain ``def``, as the page's."""
    try:
        with reader() as connection:
            rows = connection.execute(FRESHNESS).fetchall()
    except Unreadable as problem:
        return PlainTextResponse(f"{problem}\n", status_code=503)
    return Response(exposition(rows), media_type=CONTENT_TYPE)


def exposition(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of nearline.freshness as OpenMetrics text; what is null is left out, with its metric where all is."""
    lines = []
    for gauge in GAUGES:
        if gauge.is_of_all:
            samples = [_sample(gauge, row, {}) for row in rows[:1]]
        else:
            samples = [_sample(gauge, row, {"shard": row["shard"]}) for row in rows if row["shard"] is not None]
        if kept := [sample for sample in samples if sample is not None]:
            lines.append(f"# TYPE {gauge.name} gauge")
            if gauge.unit:
                lines.append(f"# UNIT {gauge.name} {gauge.unit}")
            lines += [f"# HELP {gauge.name} {_escaped(gauge.help)}", *kept]
    return "\n".join([*lines, "# EOF\n"])


def _sample(gauge: Gauge, row: Mapping[str, Any], labels: Mapping[str, Any]) -> str | None:
    value = row[gauge.column]
    if value is None and gauge.column == "backlog_age":
        value = timedelta()  # a line that comes and goes is hard to draw, and nothing waits
    if value is None:
        return None
    if isinstance(value, timedelta):
        value = value.total_seconds()
    elif gauge.column.endswith("_ms"):
        value = value / 1000
    words = ",".join(f'{name}="{_escaped(str(label))}"' for name, label in labels.items())
    return f"{gauge.name}{'{' + words + '}' if words else ''} {value if isinstance(value, int) else float(value)!r}"


def _escaped(text: str) -> str:
    r"""Text as the format wants it between quotes and after HELP.

    >>> print(_escaped('a "b" \\ c'))
    a \"b\" \\ c
    """
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
