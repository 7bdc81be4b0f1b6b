"""One day, from files to recommendations, by the jobs that Airflow starts: a small world with a known right answer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psycopg
import pytest

from nearline.adapters import embedded_postgres
from nearline.adapters.migrations import deploy
from nearline.adapters.postgres import Connection, connect
from nearline.adapters.snapshot import read_snapshot, read_transitions
from nearline.core.behaviour import run_starts
from nearline.core.world import World
from nearline.models.evaluation import Window
from nearline.models.interest_model import InterestModel
from nearline.models.judgement import Test as Judged
from nearline.run_folder import RunFolder
from nearline.settings import Settings

JOBS = Path(__file__).resolve().parents[2] / "jobs"
PEOPLE, ITEMS, DAYS, SEED = 200, 400, 30, 7
UNTIL = datetime(2026, 11, 1, tzinfo=UTC)


def run(settings: Settings, job: str, *arguments: str, status: int = 0) -> str:
    """Run a job as Airflow does: a process of its own, told everything by the environment."""
    done = subprocess.run(
        [sys.executable, str(JOBS / f"{job}.py"), *arguments],
        env={
            **os.environ,
            "NEARLINE_HOME": str(settings.home),
            "NEARLINE_DSN": str(settings.dsn),
            "NEARLINE_MLFLOW_URI": str(settings.mlflow_uri),
            "NEARLINE_TEXT_STEPS": "10",
            "NEARLINE_EPOCHS": "6",
        },
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == status, f"{job}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert str(settings.dsn) not in done.stdout + done.stderr, "a DSN may hold a password"
    return done.stdout


@pytest.fixture(scope="module")
def day(server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a database that has gone through a whole day."""
    home = tmp_path_factory.mktemp("day")
    with psycopg.connect(embedded_postgres.dsn(server, "postgres"), autocommit=True) as admin:
        admin.execute("create database one_day")
    settings = replace(
        server,
        home=home,
        dsn=embedded_postgres.dsn(server, "one_day"),
        mlflow_uri=f"sqlite:///{home}/mlflow.db",
    )
    deploy(settings)
    data = str(home / "data")
    size = ["--people", str(PEOPLE), "--items", str(ITEMS), "--days", str(DAYS), "--seed", str(SEED)]
    run(settings, "make_world", "--out", data, *size, "--until", UNTIL.isoformat())
    run(settings, "ingest_items", f"{data}/items.parquet")
    run(settings, "ingest_events", f"{data}/events.parquet")
    for job in ("take_snapshot", "pair_items", "finetune", "judge", "register", "embed_items", "rebuild_interests"):
        run(settings, job, "--run", "day-1")
    run(settings, "publish", "--run", "day-1")
    yield settings
    with psycopg.connect(embedded_postgres.dsn(server, "postgres"), autocommit=True) as admin:
        admin.execute("drop database one_day with (force)")


@pytest.fixture
def database(day: Settings) -> Iterator[Connection]:
    with connect(day, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def world() -> World:
    return World(people=PEOPLE, items=ITEMS, days=DAYS, seed=SEED, until=UNTIL)


def test_the_day_is_published_with_its_judgement(day: Settings, database: Connection) -> None:
    version, metrics = database.execute("select model_version, metrics from nearline.live_model").fetchone()  # type: ignore[misc]
    assert version == 1
    assert metrics
    assert database.execute("select count(*) from nearline.promotions").fetchone() == (1,)
    everybody = database.execute("select count(distinct user_id) from nearline_data.event").fetchone()
    assert database.execute("select user_count from nearline.live_model").fetchone() == everybody


def test_what_is_served_is_what_is_judged(day: Settings, database: Connection) -> None:
    """The trained model by the code that judges it, and by SQL: the same lists of the whole catalogue."""
    folder = RunFolder(day, "day-1")
    snapshot, model = read_snapshot(folder.snapshot), InterestModel.load(folder.model)
    ledger = snapshot.ledger
    last = np.flatnonzero(np.diff(ledger.user, append=-1))
    wrote = np.unique(ledger.user[ledger.kind == ledger.kinds.index("comment")])
    chosen = last[::5]  # some people, with all that they did
    assert 5 <= np.isin(ledger.user[chosen], wrote).sum() < len(chosen) - 5
    now = Window(ledger, chosen, run_starts(ledger.user)[chosen], chosen + 1)
    everything = np.ones(len(ledger), dtype=bool)
    judged = Judged(now, float(ledger.time.max()) + 1.0, everything[: len(ledger.items)], everything)
    texts, queries = model.text_vectors(snapshot.texts), model.text_vectors(ledger.queries)
    table = read_transitions(folder.model / "newest_transitions.parquet", snapshot.item_ids)
    scores = np.concatenate(list(judged.served_scores(model, texts, queries, table)))
    for user, row, met in zip(ledger.user[chosen], scores, now.known(), strict=True):
        served = dict(
            database.execute(
                "select item_id, score from nearline.recommend(%s, 1000)", (ledger.users[user],)
            ).fetchall()
        )
        expected = {snapshot.item_ids[item]: row[item] for item in np.flatnonzero(~met)}
        assert served.keys() == expected.keys()
        # The mean over the catalogue is the same for all items of a person; SQL leaves it out.
        shift = np.array([served[item] - expected[item] for item in served])
        assert np.ptp(shift) < 1e-4
        assert list(served)[:10] == sorted(expected, key=lambda item: -expected[item])[:10]


def test_the_withheld_item_is_recommended(day: Settings, database: Connection, world: World) -> None:
    """A new person walks a known trail; after the nearline job what comes next on it is on their list."""
    firsts = [item["item_id"] for item in world.items()][:60:2]
    trails = {f"new-{number}": trail(world, first) for number, first in enumerate(firsts)}
    for user, (*walked, _) in trails.items():
        for place, item_id in enumerate(walked):
            database.execute(
                "select nearline.record_event(%s, 'view', %s, happened_at => now() - %s * interval '1 minute')",
                (user, item_id, len(walked) - place),
            )
    run(day, "refresh_interests", "--once")
    found = 0
    for user, (*_, withheld) in trails.items():
        listed = database.execute("select item_id, as_of from nearline.recommend(%s, 10)", (user,)).fetchall()
        assert len(listed) == 10
        assert all(as_of is not None for _, as_of in listed), "the nearline job wrote the vector"
        found += withheld in {item_id for item_id, _ in listed}
    by_chance = 10 / ITEMS
    assert found >= 0.7 * len(trails), f"{found} of {len(trails)}; by chance it would be {by_chance:.1%}"


def trail(world: World, first: str, length: int = 4) -> list[str]:
    """The items that most people go through from ``first`` on."""
    items = [first]
    while len(items) < length:
        items.append(world.successor_of(items[-1]))
    return items


def test_the_example_that_everything_started_from(database: Connection, world: World) -> None:
    """Pages 1-3 browsed, products 4 and 5 searched for, item 6 bought: a page, a product and an item that fit."""
    for kind in ("page", "product", "item"):
        rows = database.execute(
            "select item_id, kind, reason->>'text' from nearline.recommend('ada', 3, array[%s])", (kind,)
        ).fetchall()
        assert [row[1] for row in rows] == [kind] * 3
        assert world.theme_of(rows[0][0]) == world.theme_of("item-6")
        assert all(row[2].startswith("because you ") for row in rows)
        assert not {row[0] for row in rows} & {"page-1", "page-2", "page-3", "item-6"}


def test_the_same_files_again_change_nothing(day: Settings, database: Connection) -> None:
    before = database.execute("select count(*), max(transaction_id) from nearline_data.event").fetchone()
    run(day, "ingest_events", f"{day.home}/data/events.parquet")
    assert database.execute("select count(*), max(transaction_id) from nearline_data.event").fetchone() == before


def test_publishing_again_changes_nothing(day: Settings, database: Connection) -> None:
    run(day, "publish", "--run", "day-1")
    assert database.execute("select count(*) from nearline.promotions").fetchone() == (1,)


def test_old_events_move_to_the_archive_and_none_is_lost(day: Settings, database: Connection) -> None:
    database.execute("select nearline.record_event('old-timer', 'view', 'page-1', happened_at => '2003-05-05Z')")
    database.execute("select nearline.record_event('old-timer', 'view', 'page-2', happened_at => '2003-06-05Z')")
    before = database.execute("select count(*) from nearline_data.event").fetchone()[0]  # type: ignore[index]
    run(day, "archive_events")
    assert database.execute("select count(*) from nearline_data.event").fetchone() == (before - 2,)
    run(day, "take_snapshot", "--run", "day-2")
    facts = (day.runs_folder / "day-2" / "snapshot" / "snapshot.json").read_text()
    assert f'"events": {before}' in facts
