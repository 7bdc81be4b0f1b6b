"""From the commit of an event to its vector, with Airflow's scheduler starting the runs: lag across run boundaries.

MINUTES=10 by default; the plot is bench/airflow_lag.png.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import psutil
from figure import Figure, percentile
from ledger_of_size import add_items, add_people
from untrained import untrained_model

from nearline.adapters import local_stack, stack_servers
from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import Connection, connect
from nearline.settings import Settings

matplotlib.use("Agg")
from matplotlib import pyplot as plt

ITEMS, PEOPLE, EVENTS_A_SECOND, WRITERS = 5_000, 5_000, 200, 4


def measure(settings: Settings) -> Iterator[Figure]:
    """Start the local servers with one model live, record events at a steady pace, and read the lag of each."""
    minutes = float(os.environ.get("MINUTES", "10"))
    results = Settings.from_env().bench_folder
    settings = replace(settings, airflow_port=_free_port(), mlflow_port=_free_port())
    model = untrained_model(settings)
    model.save(settings.models_folder / "1-bench")
    # The stack finds what is there already: the job loads its model from the folder and asks MLflow for nothing.
    with connect(settings, autocommit=True) as connection:
        add_items(connection, ITEMS)
        add_people(connection, 0, PEOPLE, 50, ITEMS)
        InterestLedger(connection, model, 1).rebuild()
        connection.execute("select nearline_data._promote(1, 'bench', 'bench')")
        local_stack.up(settings, say=lambda line: print(line, file=sys.stderr))
        try:
            _wait_for_first_run(connection)
            began = connection.execute("select clock_timestamp()").fetchone()[0]  # type: ignore[index]
            memory: list[float] = []
            recorded = _record(settings, 60 * minutes, memory)
            time.sleep(5)
            rows = connection.execute(
                "select extract(epoch from b.finished_at)::float8, b.lag_ms, b.lag_events"
                " from nearline_data.refresh_batch b where b.finished_at > %s order by b.finished_at", (began,),
            ).fetchall()  # fmt: skip
            runs = stack_servers.airflow_api(settings)
            boundaries = runs.run_starts("nearline_interests")
        finally:
            local_stack.down(settings, say=lambda _: None)
    at = np.concatenate([np.full(sum(events), when) for when, _, events in rows])
    lag = np.concatenate([np.repeat(lags, events) for _, lags, events in rows]) / 1000.0  # up to 2 percent off
    if len(lag) != recorded:
        raise RuntimeError(f"{recorded} events were recorded, {len(lag)} are in a vector")
    ends = np.array([when for when, *_ in rows])
    context = {
        "minutes": minutes, "events": recorded, "events_a_second": EVENTS_A_SECOND, "people": PEOPLE, "items": ITEMS,
        "batches": len(rows), "runs_started": len([one for one in boundaries if at.min() < one < at.max()]),
        "p50": percentile(lag, 0.5), "p99": percentile(lag, 0.99), "longest": float(lag.max()),
        "memory_mib_first_and_last_minute": [round(np.mean(memory[:10])), round(np.mean(memory[-10:]))],
    }  # fmt: skip
    yield Figure(
        name="airflow_event_to_vector_p95", value=percentile(lag, 0.95), unit="s", better="lower", target=2.0,
        context=context,
    )  # fmt: skip
    yield Figure(
        name="airflow_longest_gap_between_batches", value=float(np.diff(ends).max()), unit="s", better="lower",
        context={**context, "what": "two batches that followed each other, run boundaries included"},
    )  # fmt: skip
    _plot(at - at.min(), lag, np.array(boundaries) - at.min(), results / "airflow_lag.png")


def _wait_for_first_run(connection: Connection) -> None:
    end = time.monotonic() + 300
    while time.monotonic() < end:
        connection.execute("select nearline.record_event('first', 'click', 'i1')")
        time.sleep(2)
        if connection.execute("select from nearline_data.user_interest where user_id = 'first'").fetchone() is not None:
            return
    raise RuntimeError("Airflow started no run of nearline_interests within five minutes")


def _record(settings: Settings, seconds: float, memory: list[float]) -> int:
    """Several writers, each at its share of the pace; returns how many events were committed."""
    began, counts = time.monotonic(), [0] * WRITERS

    def write(number: int) -> None:
        chance = np.random.default_rng(number)
        with connect(settings, role="nearline_writer", autocommit=True) as writer:
            while (now := time.monotonic() - began) < seconds:
                if counts[number] >= now * EVENTS_A_SECOND / WRITERS:
                    time.sleep(0.002)
                    continue
                user, item = f"u{chance.integers(PEOPLE)}", f"i{chance.integers(ITEMS)}"
                writer.execute("select nearline.record_event(%s, 'click', %s)", (user, item))
                counts[number] += 1

    threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        memory.append(_job_memory())
        time.sleep(6)
        print(f"{time.monotonic() - began:.0f} s, {sum(counts)} events", file=sys.stderr, flush=True)
    return sum(counts)


def _job_memory() -> float:
    """MiB of the largest refresh job that runs."""
    found = [0.0]
    for process in psutil.process_iter(["cmdline", "memory_info"]):
        if (
            any("refresh_interests.py" in word for word in process.info["cmdline"] or [])
            and process.info["memory_info"]
        ):
            found.append(process.info["memory_info"].rss / 2**20)
    return max(found)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _plot(at: np.ndarray, lag: np.ndarray, boundaries: np.ndarray, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(10, 4))
    axes.plot(at / 60, lag, ".", markersize=1.5, color="#3366aa")
    for one in boundaries:
        if 0 < one < at.max():
            axes.axvline(one / 60, color="#cc7722", linewidth=0.8)
    axes.set(xlabel="minutes (orange: Airflow starts a run)", ylabel="seconds from commit to vector", ylim=(0, None))
    axes.set_title("Freshness of interest vectors across run boundaries")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
