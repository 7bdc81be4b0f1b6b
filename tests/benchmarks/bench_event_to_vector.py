"""From the record of an event to the vector that has it: the real job, drained, with a real (untrained) model."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from figure import Figure, percentile
from untrained import untrained_model

from nearline.adapters.postgres import Connection, connect
from nearline.settings import Settings
from small_shop import ITEMS, open_shop

JOB = Path(__file__).resolve().parents[2] / "jobs" / "refresh_interests.py"
SECONDS, EVENTS_A_SECOND, PEOPLE = 30, 50, 500
LOAD_EVENTS, LOAD_PEOPLE = 600_000, 200_000


def measure(settings: Settings) -> Iterator[Figure]:
    """Record events at a steady pace beside the draining job and read the lag of each from the ledger."""
    untrained_model(settings).save(settings.models_folder / "1-run")
    with connect(settings, autocommit=True) as connection:
        open_shop(connection)
        began = time.monotonic()
        job = subprocess.Popen(
            [sys.executable, str(JOB), "--seconds", str(2 * SECONDS + 120)],
            env={**os.environ, "NEARLINE_HOME": str(settings.home), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert job.stdout is not None
        for line in job.stdout:
            if "loaded" in line:
                break
        start_seconds = time.monotonic() - began
        try:
            _wait_for_the_text_model(connection)
            lags = _lags(connection, _record(connection, began=time.monotonic()))
            connection.execute("delete from nearline_data.refresh_batch")
            _load(connection)
            lags_beside_a_load = _lags(connection, _record(connection, began=time.monotonic()))
            load_seconds = _seconds_of_the_load(connection)
        finally:
            job.terminate()
            job.wait()
    context = {
        "events": len(lags), "events_a_second": EVENTS_A_SECOND, "people": PEOPLE, "searches": "1 in 10"
    }  # fmt: skip
    load = {"loaded_events": LOAD_EVENTS, "loaded_people": LOAD_PEOPLE, "load_in_vectors_after_s": load_seconds}
    for name, measured, more in (("", lags, {}), ("_beside_a_load", lags_beside_a_load, load)):
        for share, target in ((0.5, 1000.0), (0.95, 2000.0)):
            yield Figure(
                name=f"event_to_vector{name}_p{share * 100:.0f}",
                value=percentile(measured, share),
                unit="ms",
                better="lower",
                target=target,
                context={**context, **more},
            )
    yield Figure(
        name="refresh_job_start", value=start_seconds, unit="s", better="lower", target=4.0,
        context={"until": "model loaded, a poll of the ledger a moment later"},
    )  # fmt: skip


def _wait_for_the_text_model(connection: Connection) -> None:
    """A run that takes over from another has it; this one begins alone."""
    connection.execute("select nearline.record_event('first', 'search', with_text => 'hiking')")
    while connection.execute("select from nearline_data.refresh_batch").fetchone() is None:
        time.sleep(0.1)
    connection.execute("delete from nearline_data.refresh_batch")


def _load(connection: Connection) -> None:
    """One transaction of other people's events, as of a file."""
    connection.execute(
        """insert into nearline_data.event (event_id, user_id, item_id, kind, occurred_at)
           select 'load-' || n, 'loaded-' || n %% %s, (%s::text[])[1 + n %% %s], 'click'
                , now() - n * interval '1 second'
           from generate_series(1, %s) n""",
        (LOAD_PEOPLE, ITEMS, len(ITEMS), LOAD_EVENTS),
    )


def _seconds_of_the_load(connection: Connection) -> float:
    """From the begin of its transaction to the last vector of its people; waits for it."""
    asked = f"select lag_max_ms / 1000 from nearline_data.refresh_batch where event_count = {LOAD_EVENTS}".encode()
    while (found := connection.execute(asked).fetchone()) is None:
        time.sleep(0.1)
    return float(found[0])


def _lags(connection: Connection, recorded: int) -> np.ndarray:
    """Milliseconds from event to vector of those, but not of a load: float64 (recorded,), each up to 2 percent off."""
    time.sleep(3)
    batches = connection.execute(
        "select lag_ms, lag_events from nearline_data.refresh_batch where event_count <> %s", (LOAD_EVENTS,)
    ).fetchall()
    lags = np.concatenate([np.repeat(lags, events) for lags, events in batches])
    if len(lags) != recorded:
        raise RuntimeError(f"{recorded} events were recorded, {len(lags)} are in a vector")
    return lags


def _record(connection: Connection, began: float) -> int:
    chance = np.random.default_rng(7)
    for number in range(SECONDS * EVENTS_A_SECOND):
        user = f"u{chance.integers(PEOPLE)}"
        if number % 10 == 0:
            call = ("select nearline.record_event(%s, 'search', with_text => %s)", (user, f"hiking {number % 70}"))
        else:
            call = ("select nearline.record_event(%s, 'click', %s)", (user, ITEMS[chance.integers(len(ITEMS))]))
        connection.execute(*call)
        time.sleep(max(0.0, began + (number + 1) / EVENTS_A_SECOND - time.monotonic()))
    return SECONDS * EVENTS_A_SECOND
