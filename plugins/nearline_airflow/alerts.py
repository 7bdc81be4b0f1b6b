"""What Airflow calls when a run of nearline_interests misses its deadline: it says how far behind the vectors are.

Named by the DAG file, so nothing heavy is imported before the call.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import logging
import urllib.request
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nearline_airflow.reader import FRESHNESS, Unreadable, connection, reader
from nearline_airflow.words import milliseconds, shown

if TYPE_CHECKING:
    from airflow.models.connection import Connection

log = logging.getLogger(__name__)

ALERTS = "nearline_alerts"
"""Airflow's connection, of type HTTP, to post to: a webhook of a chat or of a pager. Without it the log is all."""


async def say_how_far_behind(context: Mapping[str, Any]) -> None:
    """Log, and post to ``nearline_alerts`` where there is one, what waits in each shard of the people.

    For the triggerer. In an executor of Airflow 3.3 a callback gets none of the connections that Airflow's database
    keeps (its token is refused: apache/airflow#66141), and it waits for a slot, of which one that is behind has none.

    Parameters
    ----------
    context
        Airflow's: ``dag_run`` as its API gives it, ``deadline`` with ``deadline_time``.

    Raises
    ------
    RuntimeError
        When it could not be posted; Airflow then shows the callback as failed.
    """
    await asyncio.to_thread(_say, context)  # the triggerer's event loop is not ours to stop


def _say(context: Mapping[str, Any]) -> None:
    run = context["dag_run"]
    lines = [
        f"nearline_interests: run {run['dag_run_id']} was to end well by"
        f" {shown(context['deadline']['deadline_time'])}; its state: {run['state']}."
    ]
    try:
        with reader() as database:
            lines += [_shard(row) for row in database.execute(FRESHNESS).fetchall()]
    except Unreadable as problem:
        lines.append(str(problem))  # why the run does not end, most likely
    for line in lines:
        log.error("%s", line)
    if there := connection(ALERTS):
        _post(there, "\n".join(lines))


def _shard(row: Mapping[str, Any]) -> str:
    if row["shard"] is None:
        return "No model is live yet."
    last_minute, last_hour = milliseconds(row["lag_p95_now_ms"]), milliseconds(row["lag_p95_ms"])
    return (
        f"Shard {row['shard']} of {row['shard_count']}: {shown(row['backlog_events'])} events unread, the oldest for"
        f" {shown(row['backlog_age'])}; last step {shown(row['cursor_age'])} ago; 95th percentile of the lag:"
        f" {last_minute} in the last minute, {last_hour} in the last hour."
    )


def _post(there: Connection, text: str) -> None:
    """Post as Airflow's own HttpHook would read the connection: extra has headers."""
    host = there.host or ""
    address = host if "://" in host else f"{there.schema or 'http'}://{host}"
    address += f":{there.port}" if there.port else ""
    words = {name: value for name, value in there.extra_dejson.items() if isinstance(value, str)}  # not verify: false
    headers = {"Content-Type": "application/json", **words}
    if there.login:
        login = base64.b64encode(f"{there.login}:{there.password or ''}".encode()).decode()
        headers["Authorization"] = f"Basic {login}"
    request = urllib.request.Request(address, json.dumps({"text": text}).encode(), headers)
    try:
        urllib.request.urlopen(request, timeout=10).close()
    except http.client.InvalidURL:  # whose text has the path, which is a secret with some services
        raise RuntimeError(f"Airflow's connection {ALERTS}: expected an address without blanks, saw some.") from None
    except OSError as problem:
        raise RuntimeError(f"Airflow's connection {ALERTS}: the alert could not be posted ({problem}).") from None
