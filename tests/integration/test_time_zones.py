"""A database keeps the time zone that its owners gave it; nothing that is read or written depends on it."""

from __future__ import annotations

import psycopg
import pytest

from nearline.adapters.postgres import Connection, connect, dsn, queries
from nearline.adapters.spark_reader import SLICES
from nearline.settings import Settings


@pytest.mark.parametrize(
    "days", [["2026-03-01 12:00Z", "2026-07-01 11:00Z", "2026-07-01 11:30Z"], ["2026-11-01 05:30Z"]]
)
def test_slices_have_every_event_once_in_a_zone_with_summer_time(
    settings: Settings, connection: Connection, days: list[str]
) -> None:
    for number, day in enumerate(days):
        connection.execute("select nearline.record_event('u', 'view', 'a', happened_at => %s)", (day,))
        assert number < SLICES
    (name,) = connection.execute("select current_database()").fetchone() or ("",)
    connection.execute("reset role")
    connection.execute(f"alter database {name} set timezone = 'America/New_York'".encode())
    with psycopg.connect(dsn(settings)) as plain:
        assert plain.execute("show timezone").fetchone() == ("America/New_York",)
        snapshot = queries("snapshot")
        slices = plain.execute(snapshot["slices"], {"slices": SLICES}).fetchall()
        assert len(slices) == SLICES
        found = [
            at
            for low, high in slices
            for *_, at in plain.execute(snapshot["events"], {"from_time": low, "until_time": high}).fetchall()
        ]
        assert sorted(found) == [
            at for (at,) in plain.execute("select occurred_at from nearline_data.event order by 1")
        ]
    with connect(settings) as job:
        assert job.execute("show timezone").fetchone() == ("UTC",)
