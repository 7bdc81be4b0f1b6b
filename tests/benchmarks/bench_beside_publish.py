"""What 16 connections that ask for lists notice of a refresh at work and of a version that is published meanwhile.

MINUTES=10 and SCALES=full are the target's: a million items, whose index takes long beside so many requests. Every
tenth item is in one of the two versions only, so a list that mixed the two would be seen, and counts as failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from asking import CLIENTS, LONGEST, answers, ask, end
from bench_publish import add_catalogue, add_tastes, measure_recall, publish_version
from figure import Figure, percentile
from untrained import untrained_model

from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import Connection, connect
from nearline.adapters.promotion import go_live
from nearline.settings import Settings
from small_shop import MeanOfHistory

JOB = Path(__file__).resolve().parents[2] / "jobs" / "refresh_interests.py"
SCALES = {"small": (20_000, 1_000), "full": (1_000_000, 100_000)}
"""Items and people."""
EVENTS_A_PERSON, EVENTS_A_SECOND, WARM = 50, 50, 10.0


def measure(settings: Settings) -> Iterator[Figure]:
    """Ask without a pause; half of the time later publish a version; go on for the rest of the time."""
    items, people = SCALES[os.environ.get("SCALES", "small")]
    seconds = 60 * float(os.environ.get("MINUTES", "1"))
    for version in (1, 2):
        untrained_model(settings).save(settings.models_folder / f"{version}-bench")
    _fill(settings, items, people)
    refresh = subprocess.Popen(
        [sys.executable, str(JOB), "--seconds", str(LONGEST)],
        env={**os.environ, "NEARLINE_HOME": str(settings.home)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    stop = threading.Event()
    recording = threading.Thread(target=_record, args=(settings, items, people, stop))
    recording.start()
    clients = None
    try:
        _wait_for_the_refresh(settings, refresh)
        clients = ask(settings, people)
        began = time.time()
        time.sleep(WARM + seconds / 2)
        publish_began = time.time()
        _publish(settings, items)
        publish_ended = time.time()
        time.sleep(max(WARM, began + WARM + seconds - publish_ended))
        failed = end(clients)
    finally:
        stop.set()
        recording.join()
        for process in (clients, refresh):
            if process is not None and process.poll() is None:
                process.terminate()
                process.wait()
    ended, took = answers(settings)
    windows = {
        "before": (began + WARM, publish_began),
        "during": (publish_began, publish_ended),
        "after": (publish_ended, ended[-1]),
    }
    inside = {name: took[(ended >= first) & (ended < last)] for name, (first, last) in windows.items()}
    rates = {name: len(inside[name]) / (last - first) for name, (first, last) in windows.items()}
    p99 = {name: 1000 * percentile(values, 0.99) for name, values in inside.items()}
    context = {
        "items": items, "people": people, "connections": CLIENTS, "seconds": round(ended[-1] - began),
        "publish_seconds": round(publish_ended - publish_began, 1), "requests": len(took), **_refreshed(settings),
        "requests_a_second": {name: round(rate) for name, rate in rates.items()},
        "p50_ms": {name: round(1000 * percentile(values, 0.5), 1) for name, values in inside.items()},
        "p99_ms": {name: round(value, 1) for name, value in p99.items()},
    }  # fmt: skip
    yield Figure(
        name="requests_a_second_beside_refresh", value=rates["before"], unit="1/s", better="higher", target=500.0,
        context=context,
    )  # fmt: skip
    yield Figure(
        name="requests_a_second_beside_publish", value=rates["during"], unit="1/s", better="higher",
        reference=("before it", rates["before"]), context=context,
    )  # fmt: skip
    yield Figure(
        name="p99_beside_publish", value=p99["during"], unit="ms", better="lower", target=3 * p99["before"],
        reference=("before it", p99["before"]), context=context,
    )  # fmt: skip
    yield Figure(
        name="failed_requests", value=float(failed), unit="requests", better="lower", target=0.0, context=context
    )


def _fill(settings: Settings, items: int, people: int) -> None:
    """A catalogue that is older than both models, people with histories, and the first version live."""
    with connect(settings, autocommit=True) as connection:
        add_catalogue(connection, items)
        add_tastes(connection, people, EVENTS_A_PERSON, items)
        _make_live(connection, 1, items)
    with connect(settings, role=None, autocommit=True) as owner:
        owner.execute("vacuum analyze nearline_data.item, nearline_data.user_interest")


def _publish(settings: Settings, items: int) -> None:
    with connect(settings, autocommit=True) as connection:
        _make_live(connection, 2, items)


def _make_live(connection: Connection, version: int, items: int) -> None:
    """Load, index, compute the interests, check, catch up and flip: all that the daily training does in SQL."""
    numbers = np.arange(items)
    publish_version(connection, version, numbers[numbers % 10 != 2 - version])
    ledger = InterestLedger(connection, MeanOfHistory(), version)
    ledger.rebuild()
    measure_recall(connection, version)
    go_live(ledger, "bench", "bench")


def _record(settings: Settings, items: int, people: int, stop: threading.Event) -> None:
    rng = np.random.default_rng(7)
    with connect(settings, autocommit=True) as connection:
        began, count = time.monotonic(), 0
        while not stop.wait(max(0.0, began + count / EVENTS_A_SECOND - time.monotonic())):
            connection.execute(
                "select nearline.record_event(%s, 'click', %s)",
                (f"u{rng.integers(people)}", f"i{rng.integers(items)}"),
            )
            count += 1


def _wait_for_the_refresh(settings: Settings, refresh: subprocess.Popen[bytes]) -> None:
    """Until its model is loaded and it has caught up."""
    with connect(settings, autocommit=True) as connection:
        while connection.execute("select from nearline_data.refresh_batch").fetchone() is None:
            if refresh.poll() is not None:
                raise RuntimeError(f"refresh_interests ended with {refresh.returncode}")
            time.sleep(0.1)
        time.sleep(1)
        connection.execute("delete from nearline_data.refresh_batch")


def _refreshed(settings: Settings) -> dict[str, float]:
    with connect(settings, autocommit=True) as connection:
        batches = connection.execute("select lag_ms, lag_events from nearline_data.refresh_batch").fetchall()
    lags = np.concatenate([np.repeat(lags, events) for lags, events in batches] or [np.zeros(1)])  # up to 2 percent off
    return {
        "events_refreshed": sum(sum(events) for _, events in batches),
        "event_to_vector_p50_ms": round(percentile(lags, 0.5)),
        "event_to_vector_p95_ms": round(percentile(lags, 0.95)),
    }
