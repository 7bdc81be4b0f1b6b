"""What nearline.freshness says of lags and of what waits is right, and said at once however much there was."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from nearline.adapters.postgres import Connection, queries, sql_folder
from small_shop import open_shop

STEP = 0.021
"""Percentiles are off by half a step of 4 percent at most, and by what is rounded for the eye."""
LAGS = "select lag_p50_ms, lag_p95_ms, lag_max_ms, lag_p95_now_ms, events_last_hour from nearline.freshness"


@pytest.fixture
def shop(connection: Connection) -> Connection:
    open_shop(connection)
    connection.execute("set role none")  # live for two hours: what is logged below was waited for
    connection.execute("update nearline_data.live_version set live_since = now() - interval '2 hours'")
    connection.execute("set role nearline_engine")
    return connection


def log_batch(connection: Connection, lags_ms: np.ndarray, events: int | None = None) -> None:
    """As the refresh does, of events that were recorded so many milliseconds ago, float64 (n,)."""
    values = {
        "model_version": 1, "shard": 0, "event_count": events or len(lags_ms), "user_count": 1, "seconds": 0.1,
        "recorded_at": (time.time() - lags_ms / 1000).tolist(),
    }  # fmt: skip
    connection.execute(queries("refresh")["log_batch"], values)


def test_percentiles_are_nearly_right_and_the_longest_exactly(shop: Connection) -> None:
    rng = np.random.default_rng(7)
    batches = [np.exp(rng.normal(12, 1.5, size)) for size in (5000, 3, 700, 1, 20_000)]
    batches.append(np.array([1e9]))
    for batch in batches:
        log_batch(shop, batch)
    every = np.concatenate(batches)
    p50, p95, longest, p95_now, events = map(float, shop.execute(LAGS).fetchone() or ())
    assert events == len(every)
    assert p50 == pytest.approx(np.percentile(every, 50), rel=STEP)
    assert p95 == p95_now == pytest.approx(np.percentile(every, 95), rel=STEP)
    assert 1e9 <= longest < 1e9 + 2000, "what passed until the write is a part of it"
    since = datetime.now(UTC) - timedelta(minutes=1)
    summary = shop.execute(queries("refresh")["run_summary"], {"shard": 0, "since": since}).fetchone()
    assert summary is not None
    assert summary == pytest.approx((p50, p95, longest, 0), rel=1e-4)


def test_a_batch_keeps_few_numbers_that_stand_for_every_event(shop: Connection) -> None:
    log_batch(shop, np.exp(np.random.default_rng(7).normal(7, 1, 20_000)))
    log_batch(shop, np.full(200, 1000.0), events=12_345)  # of one transaction, a few stand for all
    rows = shop.execute(
        """select b.event_count, cardinality(b.lag_ms), (select sum(n) from unnest(b.lag_events) n)
           from nearline_data.refresh_batch b order by b.batch_id"""
    ).fetchall()
    assert [row[2] for row in rows] == [row[0] for row in rows] == [20_000, 12_345]
    assert rows[0][1] <= 250
    assert rows[1][1] == 1


def test_batches_of_before_count_too(shop: Connection) -> None:
    shop.execute(
        """insert into nearline_data.refresh_batch (model_version, event_count, user_count, lag_ms, finished_at)
           values (1, 4, 1, '{11, 12, 13, 1234.5}', now() - interval '5 minutes')"""
    )
    assert shop.execute(LAGS).fetchone() == (12, pytest.approx(1234.5), pytest.approx(1234.5), None, 4)
    log_batch(shop, np.full(96, 100_000.0))
    p50, p95, longest, p95_now, events = map(float, shop.execute(LAGS).fetchone() or ())
    assert p50 == p95 == p95_now == pytest.approx(100_000, rel=STEP)
    assert p95 <= longest
    assert events == 100


def test_the_upgrade_puts_the_last_hour_into_steps(shop: Connection) -> None:
    lags = np.exp(np.random.default_rng(7).normal(7, 1, 5000)).astype(np.float32)
    shop.execute(
        """insert into nearline_data.refresh_batch (model_version, event_count, user_count, lag_ms)
           values (1, 5000, 1, %s)""",
        (lags.tolist(),),
    )
    before = [float(number) for number in shop.execute(LAGS).fetchone() or ()]
    migration = (sql_folder() / "migrations" / "0017_lags.sql").read_text(encoding="utf-8")
    shop.execute(migration[migration.index("\nupdate ") :].encode())
    ((kept, events),) = shop.execute(
        "select cardinality(lag_ms), (select sum(n) from unnest(lag_events) n) from nearline_data.refresh_batch"
    ).fetchall()
    assert kept < 250
    assert events == 5000
    assert [float(number) for number in shop.execute(LAGS).fetchone() or ()] == pytest.approx(before, rel=STEP)


def test_five_million_events_in_the_hour_are_told_at_once(shop: Connection) -> None:
    log_batch(shop, np.exp(np.random.default_rng(7).normal(7, 1, 5000)))
    columns = "model_version, event_count, user_count, lag_ms, lag_events, lag_max_ms"
    shop.execute(
        f"""insert into nearline_data.refresh_batch ({columns})
            select {columns} from nearline_data.refresh_batch, generate_series(1, 999)"""
    )
    began = time.monotonic()
    row = shop.execute(LAGS).fetchone()
    assert time.monotonic() - began < 1, "a look at every lag took three to fifteen seconds"
    assert row is not None
    assert row[4] == 5_000_000


def test_the_count_of_what_waits_stops(shop: Connection) -> None:
    look = "select backlog_events, backlog_age from nearline.freshness"
    shop.execute(
        """insert into nearline_data.event (event_id, user_id, item_id, kind, occurred_at)
           select 'e' || n, 'u' || n, 'hiking-page-1', 'view', now() from generate_series(1, 100100) n"""
    )
    shop.execute("select nearline.record_event('later', 'view', 'hiking-page-1')")
    waiting, age = shop.execute(look).fetchone() or (0, timedelta())
    assert waiting == 100_000
    assert timedelta() < age < timedelta(minutes=1)
    # The same where the transaction was open when the cursor moved on.
    shop.execute(
        """update nearline_data.cursor set position = format('%1$s:%2$s:%1$s', t.first, t.later)::pg_snapshot
           from (select min(e.transaction_id), max(e.transaction_id) from nearline_data.event e) as t (first, later)"""
    )
    assert (shop.execute(look).fetchone() or ())[0] == 100_000
    shop.execute("delete from nearline_data.event where user_id like 'u%'")
    assert (shop.execute(look).fetchone() or ())[0] == 1
