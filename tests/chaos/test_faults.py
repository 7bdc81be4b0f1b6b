"""One fault at a time, with writers going on: what was accepted is in the vectors, once, and nothing else is."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from chaos.processes import ForkServer
from chaos.shop import Server, Shop, sampled, wait_until
from chaos.writers import LATE_ITEMS, LEAVING, Book, Writer, bring_item, erase
from nearline.adapters import home_folder
from nearline.settings import Settings

WRITERS = 2


def write(shop: Shop, **options: float) -> None:
    for seed in range(WRITERS):
        shop.write(seed + 1, **options)  # type: ignore[arg-type]


def people(shop: Shop, version: int = 1) -> set[str]:
    with shop.connect() as connection:
        rows = connection.execute(
            "select user_id from nearline_data.user_interest where model_version = %s", (version,)
        ).fetchall()
    return {row[0] for row in rows}


def test_sessions_are_terminated(shop: Shop) -> None:
    with sampled(shop):
        write(shop)
        run = shop.run("--seconds=60")
        shop.wait_for_a_batch()
        ended = 0
        for _ in range(8):
            ended += shop.terminate_sessions()
            shop.terminate_sessions(of_writers=True)
            time.sleep(0.15)
        shop.end(run)
    assert ended >= 3
    assert shop.book.retries
    assert shop.rest().problems == []


@pytest.mark.parametrize("how", ["stopped", "session killed", "killed"])
def test_postgres_goes_away_and_comes_back(own_server: Server, shop: Shop, how: str) -> None:
    write(shop)
    run = shop.run("--seconds=60")
    shop.wait_for_a_batch()
    if how == "session killed":
        with shop.connect() as connection:
            row = connection.execute("select pg_backend_pid()").fetchone()
            assert row is not None
            own_server.kill_session(row[0])  # the server drops all sessions, as memory they share may be damaged
        wait_until(shop.answers, "the server does not recover by itself")
    else:
        own_server.stop_at_once() if how == "stopped" else own_server.kill()
        time.sleep(0.3)
        own_server.start()
    shop.wait_for_a_batch()
    assert run.is_running(), "a run rides out a restart"
    assert shop.book.retries
    assert shop.rest().problems == []


def test_three_runs_at_once(shop: Shop) -> None:
    """One of them drains at a time, the others take over from it: when they are ready, and when it dies."""
    with sampled(shop):
        write(shop)
        for _ in range(2):
            runs = [shop.run("--seconds=60") for _ in range(3)]
            shop.wait_for_a_batch()
            wait_until(lambda: sum(run.is_running() for run in runs) == 1, "runs do not hand over")  # noqa: B023
            shop.wait_for_a_batch()
            holder = shop.holder()
            assert holder in runs
            holder.kill()
        late = [shop.run("--seconds=60") for _ in range(2)]
        while late[0].is_running() and late[1].is_running():
            late[0].kill(signal.SIGSTOP)  # the other one cannot take over from it, until it goes on
            time.sleep(0.1)
            late[0].kill(signal.SIGCONT)
            time.sleep(0.1)
        shop.wait_for_a_batch()
    assert shop.rest().problems == []


def test_a_run_that_is_frozen_holds_nobody_up_for_good(shop: Shop) -> None:
    write(shop)
    run = shop.run("--seconds=60", batch=5)
    for _ in range(4):
        shop.wait_for_a_batch()
        run.kill(signal.SIGSTOP)
        time.sleep(0.1)
        run.kill(signal.SIGCONT)
    shop.end(run)
    assert shop.rest().problems == []


def test_clocks_that_are_a_day_off(shop: Shop) -> None:
    writer = shop.write(1, most=0)
    for _ in range(10):
        writer.a_day_early()
        writer.a_day_late()
        writer.one()
    found = shop.rest()
    assert found.problems == []
    assert (len(shop.book.refused), found.accepted) == (10, 20)


def test_everybody_sends_the_same_in_another_order(shop: Shop) -> None:
    source = Writer(shop.settings, Book(), 1)
    days = [timedelta(days=number / 3) for number in range(60)]
    events = [source.event(ago=ago) for ago in days for _ in range(2)]
    writers = [Writer(shop.settings, shop.book, seed) for seed in (2, 3, 4)]

    def send(writer: Writer, seed: int) -> None:
        for event in random.Random(seed).sample(events, len(events)):
            writer.record(event)

    threads = [threading.Thread(target=send, args=(writer, seed)) for seed, writer in enumerate(writers)]
    run = shop.run("--seconds=60")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for writer in writers:
        writer._disconnect()
    shop.end(run)
    found = shop.rest()
    assert found.problems == []
    assert found.accepted == len(events)


def test_a_transaction_that_stays_open_holds_nobody_up(shop: Shop) -> None:
    with sampled(shop) as sampler:
        holder = shop.write(1, most=0)
        run = shop.run("--seconds=60")
        held = threading.Thread(target=holder.record, args=(holder.event("slow"),), kwargs={"hold": 60.0})
        held.start()
        wait_until(lambda: _open_transactions(shop) > 0, "no transaction is open")
        writer = shop.write(2, most=0)
        for number in range(20):
            writer.record(replace(writer.event(f"fast-{number}"), kind="view", item_id="hiking-page-1", text=None))
        wait_until(lambda: len(people(shop)) == 20, "somebody waits for a transaction that is not theirs", 5)
        assert _open_transactions(shop) > 0
        holder.hurry.set()
        held.join()
        shop.end(run)
    assert sampler.open_seen > 0
    assert shop.rest().problems == []


def _open_transactions(shop: Shop) -> int:
    with shop.administer() as connection:
        row = connection.execute(
            """select count(*) from pg_stat_activity
               where datname = current_database() and state = 'idle in transaction' and backend_xid is not null"""
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_the_number_of_shares_changes_again_and_again(shop: Shop) -> None:
    with sampled(shop):
        write(shop)
        shop.run("--seconds=2")
        for shards in (2, 3, 1):
            shop.wait_for_a_batch()
            shop.divide(shards)
    found = shop.rest()
    assert found.problems == []
    with shop.connect() as connection:
        assert connection.execute("select shard, shard_count from nearline_data.cursor").fetchall() == [(0, 1)]


def test_a_run_follows_the_live_version(shop: Shop) -> None:
    with sampled(shop):
        write(shop)
        run = shop.run("--seconds=60")
        for version in (2, 3):
            shop.wait_for_a_batch()
            assert shop.publish(version).wait() == 0
            wait_until(lambda: f"version {version} is live and loaded" in run.said(), "the run does not follow")  # noqa: B023
        shop.end(run)
    assert shop.rest().problems == []


def test_people_leave_in_the_middle(shop: Shop) -> None:
    with sampled(shop):
        write(shop)
        run = shop.run("--seconds=60", batch=10)
        for number in range(12):
            time.sleep(0.1)
            erase(shop.settings, shop.book, LEAVING[number % 2])
        shop.end(run)
    assert shop.rest().problems == []
    assert shop.book.erased


def test_items_that_come_later(shop: Shop) -> None:
    write(shop)
    run = shop.run("--seconds=60")
    for item in LATE_ITEMS[:3]:
        shop.wait_for_a_batch()
        bring_item(shop.settings, item)
        wait_until(lambda: _has_vector(shop, item), "an item is not placed")  # noqa: B023
    shop.end(run)
    assert shop.rest().problems == []


def _has_vector(shop: Shop, item: str) -> bool:
    with shop.connect() as connection:
        return connection.execute(
            "select 1 from nearline_data.item_embedding where item_id = %s", (item,)
        ).fetchone() is not None  # fmt: skip


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for an empty server and little more."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200m", "chaos", str(folder)], capture_output=True, text=True
    )
    if made.returncode != 0:
        pytest.skip(f"a full disk needs the right to mount one: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_the_disk_of_postgres_is_full(small_disk: Path, forks: ForkServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is in the middle of something fails as a whole, and all goes on when there is room again."""
    monkeypatch.setattr(home_folder, "NEEDED_BYTES", 0)
    server = Server(Settings(home=small_disk / "home"))
    try:
        with server.shop(forks) as shop:
            ballast = small_disk / "ballast"
            write(shop)
            run = shop.run("--seconds=60")
            shop.wait_for_a_batch()
            _fill(ballast, leave=1 << 20)
            hog = threading.Thread(target=_write_until_full, args=(shop,))
            hog.start()
            hog.join()
            time.sleep(0.5)
            ballast.unlink()
            server.start()  # without room for its log it ends itself
            shop.wait_for_a_batch()
            shop.end(run)
            assert shop.rest().problems == []
    finally:
        server.close()


def _fill(ballast: Path, leave: int) -> None:
    free = shutil.disk_usage(ballast.parent).free - leave
    with ballast.open("wb") as file:
        while free > 0:
            file.write(bytes(min(free, 1 << 20)))
            free -= 1 << 20


def _write_until_full(shop: Shop) -> None:
    """What others write to the same disk, in a transaction that is never committed."""
    with suppress(psycopg.OperationalError), shop.connect() as connection, connection.transaction():
        connection.execute("create temporary table hog (content text)")
        for _ in range(1000):
            connection.execute("insert into hog select repeat(md5(random()::text), 1000) from generate_series(1, 100)")


FETCH = """
import resource, sys, types
from pathlib import Path

limit = int(sys.argv[2])
def download_artifacts(artifact_uri, dst_path):
    model = Path(dst_path) / "artifacts" / "model"
    model.mkdir(parents=True)
    (model / "weights").write_bytes(bytes(200_000))
    (model / "model.json").write_text("{}")
    return dst_path

mlflow = types.ModuleType("mlflow")
mlflow.artifacts = types.SimpleNamespace(download_artifacts=download_artifacts)
mlflow.exceptions = types.SimpleNamespace(MlflowException=type("MlflowException", (Exception,), {}))
sys.modules["mlflow"] = mlflow
from nearline.adapters import registered_model
from nearline.adapters import home_folder
from nearline.settings import Settings
registered = types.SimpleNamespace(run_id="run")
registered_model.connect = lambda settings: types.SimpleNamespace(get_model_version=lambda name, version: registered)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
print(registered_model.fetch_model(Settings(home=Path(sys.argv[1])), 1, "run"))
"""


def test_the_disk_of_the_job_is_full(tmp_path: Path) -> None:
    """What it keeps there are fetched models: one is there as a whole or not at all."""
    home = tmp_path / "home"
    home.mkdir()

    def fetch(limit: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", FETCH, str(home), str(limit)], capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "jobs")},
        )  # fmt: skip

    failed = fetch(100_000)
    assert failed.returncode != 0
    assert "File too large" in failed.stderr
    assert list((home / "models").iterdir()) == [], "nothing is left that a later run could take for a model"
    assert fetch(1_000_000).returncode == 0
    assert (home / "models" / "1-run" / "weights").stat().st_size == 200_000
