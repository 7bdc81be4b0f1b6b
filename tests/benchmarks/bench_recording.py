"""How many events a second applications can record: by COPY, and one by one from eight connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from figure import Figure
from ledger_of_size import add_items

from nearline.adapters.postgres import connect, copy_rows
from nearline.settings import Settings

ITEMS, COPIED, A_COPY, CONNECTIONS, SECONDS = 1_000, 200_000, 2_000, 8, 10.0


def measure(settings: Settings) -> Iterator[Figure]:
    """Both ways into an empty ledger, as the role of an application."""
    with connect(settings, autocommit=True) as connection:
        add_items(connection, ITEMS)
        connection.execute("select nearline_data._ensure_event_partitions(now() - interval '40 days', now())")
        copied, bare = _copy(settings), _copy(settings, bare=True)
    yield Figure(
        name="recorded_by_copy", value=copied, unit="events/s", better="higher", target=20_000.0,
        reference=("COPY of the same rows into a table without indexes and trigger", bare),
        context={"events": COPIED, "a_copy": A_COPY},
    )  # fmt: skip
    single, empty = _calls(settings, True), _calls(settings, False)
    yield Figure(
        name="recorded_one_by_one", value=single, unit="events/s", better="higher", target=3_000.0,
        reference=("as many connections that write and commit one number", empty),
        context={"connections": CONNECTIONS, "seconds": SECONDS},
    )  # fmt: skip


def _copy(settings: Settings, *, bare: bool = False) -> float:
    columns = ["event_id", "user_id", "item_id", "kind", "occurred_at"]
    types, now = ["text", "text", "text", "text", "timestamptz"], datetime.now(UTC)
    with connect(settings, role=None if bare else "nearline_writer", autocommit=True) as writer:
        if bare:
            writer.execute(
                "create table nearline_data.bare (event_id text, user_id text, item_id text, kind text,"
                " occurred_at timestamptz)"
            )
        began = time.monotonic()
        for start in range(0, COPIED, A_COPY):
            rows = [
                (f"c{n}", f"u{n % 5000}", f"i{n % ITEMS}", "click", now - timedelta(minutes=n % 40_000))
                for n in range(start, start + A_COPY)
            ]
            copy_rows(writer, "bare" if bare else "event", columns, types, rows)
        return COPIED / (time.monotonic() - began)


def _calls(settings: Settings, events: bool) -> float:
    counts, end = [0] * CONNECTIONS, time.monotonic() + SECONDS
    if not events:
        with connect(settings, role=None, autocommit=True) as owner:
            owner.execute("create table nearline_data.numbers (n integer)")

    def call(number: int) -> None:
        with connect(settings, role="nearline_writer" if events else None, autocommit=True) as writer:
            while time.monotonic() < end:
                if events:
                    user, item = f"u{number}-{counts[number] % 700}", f"i{counts[number] % ITEMS}"
                    writer.execute("select nearline.record_event(%s, 'click', %s)", (user, item))
                else:
                    writer.execute("insert into nearline_data.numbers values (%s)", (counts[number],))
                counts[number] += 1

    threads = [threading.Thread(target=call, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / SECONDS
