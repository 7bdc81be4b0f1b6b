"""MLflow's alias is followed: a real MLflow server, a real Postgres, and the jobs as Airflow starts them."""

from __future__ import annotations

import json
import logging
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from mlflow import MlflowClient

import follow_champion  # jobs/follow_champion.py
import keep_house
import publish
import rebuild_interests
import tiny_models
from chaos.shop import wait_until
from nearline.adapters import champion_alias, promotion, registered_model
from nearline.adapters.champion_alias import CHAMPION, MOVED_BECAUSE, MOVED_BY
from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import Connection, connect, copy_rows
from nearline.adapters.processes import Server, stop
from nearline.adapters.version_tables import drop_tables, take_version
from nearline.core.interest import DIM, LATENT
from nearline.errors import GateRefused, ModelError, StackError, VersionTaken
from nearline.models.behaviour_model import BehaviourConfig, BehaviourModel
from nearline.models.interest_model import InterestModel
from nearline.models.text_model import TextModel
from nearline.settings import Settings
from small_shop import ITEMS, MeanOfHistory, open_shop

NOTES = {"transition_weight": 0.5, "fold_keep": 0.9, "fold_gain": 0.3, "fold_span": 4.0}
GOOD, BETTER, OLD_FORMAT, UNJUDGED = 1, 2, 3, 4


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An MLflow server, with its artifacts behind it."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = Server(name="mlflow", pid_file=folder / "mlflow.json", log=folder / "mlflow.log")
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    store = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "kept")]
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PATH": "/usr/bin:/bin", "NO_PROXY": "127.0.0.1"}
    server.start([*command, *store], environment=environment, folder=folder)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        stop([server])


@pytest.fixture(scope="module")
def registry(address: str, tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    """Four registered versions: two good ones, one of another format, one never judged."""
    mlflow.set_tracking_uri(address)  # where artifacts go
    client = MlflowClient(address, address)
    client.create_registered_model(Settings.model)
    model = model_folder(tmp_path_factory.mktemp("registered") / "model")
    for version in (GOOD, BETTER, OLD_FORMAT, UNJUDGED):
        register(client, model, version)
    return client


def wait_for(address: str, server: Server) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(address, timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(server.log_tail())


def model_folder(folder: Path) -> Path:
    torch.manual_seed(0)
    text = TextModel.load(tiny_models.tiny_encoder(folder.with_name("encoder")))
    behaviour = BehaviourModel(BehaviourConfig(text_width=text.width, kind_count=2, history_length=5))
    InterestModel(text, behaviour, ["unknown", "view"], [], np.zeros((0, LATENT), np.float32), NOTES).save(folder)
    pairs = {"item_id": ITEMS[:2], "next_item_id": ITEMS[1:3], "weight": pa.array([0.5, 0.25], pa.float32())}
    pq.write_table(pa.table(pairs), folder / "transitions.parquet")
    return folder


def register(client: MlflowClient, model: Path, version: int) -> None:
    run = client.create_run("0")
    description = json.loads((model / "model.json").read_text())
    changed = description | ({"format": description["format"] - 1} if version == OLD_FORMAT else {})
    (model / "model.json").write_text(json.dumps(changed))
    client.log_artifacts(run.info.run_id, str(model), "model/artifacts/model")
    (model / "model.json").write_text(json.dumps(description))
    if version != UNJUDGED:
        judgement = {"accepted": True, "reason": "better", "metrics": {"ndcg": 0.1 * version}}
        client.log_dict(run.info.run_id, judgement, "judgement.json")
    made = client.create_model_version(Settings.model, f"{run.info.artifact_uri}/model", run.info.run_id)
    assert int(made.version) == version


@pytest.fixture
def world(
    settings: Settings,
    address: str,
    registry: MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Settings]:
    """A fresh database beside that server, on which nobody is champion."""
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("NEARLINE_MLFLOW_URI", address)
    yield replace(settings, mlflow_uri=address)
    registry.delete_registered_model_alias(Settings.model, CHAMPION)


def move(registry: MlflowClient, version: int, **note: str) -> None:
    for key, value in note.items():
        registry.set_model_version_tag(Settings.model, str(version), f"nearline.{key}", value)
    registry.set_registered_model_alias(Settings.model, CHAMPION, str(version))


def open_version(connection: Connection, registry: MlflowClient, version: int, *, live: bool = True) -> InterestLedger:
    """The small shop's vectors, said to come from the run that MLflow has for this version."""
    ledger = open_shop(connection, version, live=live)
    connection.execute(
        "update nearline_data.model_version set mlflow_run_id = %s where model_version = %s",
        (registry.get_model_version(Settings.model, str(version)).run_id, version),
    )
    return ledger


def served(connection: Connection) -> int | None:
    row = connection.execute("select model_version from nearline.live_model").fetchone()
    return row[0] if row else None


def state(connection: Connection, version: int) -> str | None:
    row = connection.execute("select state from nearline.versions where model_version = %s", (version,)).fetchone()
    return row[0] if row else None


def test_before_anything_was_published_there_is_nothing_to_follow(world: Settings, connection: Connection) -> None:
    assert champion_alias.champion(world) is None
    assert follow_champion.main([]) == 0
    assert served(connection) is None


def test_a_database_without_items_is_not_filled(
    world: Settings, connection: Connection, registry: MlflowClient
) -> None:
    move(registry, GOOD)
    with pytest.raises(GateRefused, match=r"no active item .* Fix: load items"):
        follow_champion.main([])
    assert state(connection, GOOD) is None


def test_going_back_to_a_kept_version(
    world: Settings, connection: Connection, registry: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    open_version(connection, registry, GOOD)
    new = open_version(connection, registry, BETTER)
    for number in range(20):
        connection.execute("select nearline.record_event(%s, 'view', %s)", (f"u{number % 5}", ITEMS[number]))
    new.catch_up()
    move(registry, GOOD, moved_by="ada", moved_because="the new one forgets bread")
    assert follow_champion.main([]) == 0

    assert served(connection) == GOOD
    assert (state(connection, GOOD), state(connection, BETTER)) == ("live", "kept")
    row = connection.execute(
        "select model_version, previous_version, promoted_by, reason from nearline.promotions"
        " order by promotion_id desc limit 1"
    ).fetchone()
    assert row == (GOOD, BETTER, "MLflow alias champion, ada", "the new one forgets bread")
    freshness = connection.execute("select backlog_events, events_last_hour from nearline.freshness").fetchone()
    assert freshness == (0, 20), "nobody waited for what it caught up with"
    counts = "select user_id, event_count from nearline_data.user_interest where model_version = %s order by 1"
    assert connection.execute(counts, (GOOD,)).fetchall() == connection.execute(counts, (BETTER,)).fetchall()
    (seconds,) = re.findall(r"flipped in (\d+\.\d+) s", caplog.text)
    assert float(seconds) < 1.0
    tags = registry.get_model_version(Settings.model, str(GOOD)).tags
    assert not tags.keys() & {MOVED_BY, MOVED_BECAUSE}, "a note is for one move"

    before = len(connection.execute("select from nearline.promotions").fetchall())
    assert follow_champion.main([]) == 0
    assert len(connection.execute("select from nearline.promotions").fetchall()) == before


def test_a_look_that_finds_nothing_to_do_is_light(
    world: Settings, connection: Connection, registry: MlflowClient
) -> None:
    open_version(connection, registry, GOOD)
    move(registry, GOOD)
    program = (
        "import sys, follow_champion; assert follow_champion.main([]) == 0;"
        "sys.exit(' '.join({'mlflow', 'torch', 'pyspark', 'pandas', 'transformers'} & set(sys.modules)) or 0)"
    )
    jobs = Path(follow_champion.__file__).parent
    done = subprocess.run([sys.executable, "-c", program], cwd=jobs, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("spark")
def test_going_back_to_a_version_that_was_dropped(
    world: Settings, connection: Connection, registry: MlflowClient
) -> None:
    open_version(connection, registry, GOOD)
    open_version(connection, registry, BETTER)
    drop_tables(connection, GOOD)
    connection.execute(
        "update nearline_data.item_embedding set vector = (subvector(vector, 1, 120) || array[1,2,3,4,5,6,7,8]::vector)"
        " where item_id = %s", (ITEMS[0],),
    )  # fmt: skip
    connection.execute("select nearline.record_event('u1', 'view', %s)", (ITEMS[0],))
    assert state(connection, GOOD) == "dropped"
    move(registry, GOOD)
    assert follow_champion.main([]) == 0

    assert (served(connection), state(connection, GOOD)) == (GOOD, "live")
    row = connection.execute(
        "select item_count, user_count, index_recall, table_bytes > 0, index_bytes > 0 from nearline.versions"
        " where model_version = %s", (GOOD,),
    ).fetchone()  # fmt: skip
    assert row == (len(ITEMS), 1, 1.0, True, True)
    vectors = dict(
        connection.execute("select item_id, vector from nearline_data.item_embedding where model_version = 1")
    )
    assert vectors[ITEMS[0]][LATENT:].tolist() == [1, 2, 3, 4, 5, 6, 7, 8], (
        "how items do is known from the live version"
    )
    found = connection.execute("select distinct model_version, events_folded from nearline.recommend('u1')").fetchall()
    assert found == [(GOOD, 0)]
    assert connection.execute(
        "select count(*) from nearline_data.item_transition where model_version = 1"
    ).fetchone() == (2,)


@pytest.mark.usefixtures("spark")
def test_a_load_that_died_is_gone_on_with(
    world: Settings, connection: Connection, registry: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_version(connection, registry, GOOD)
    move(registry, BETTER)
    with monkeypatch.context() as dying:
        dying.setattr(InterestLedger, "rebuild", lambda ledger: sys.exit("killed"))
        with pytest.raises(SystemExit, match="killed"):
            follow_champion.main([])
    # Postgres lets its lock go a moment after the job is gone.
    wait_until(lambda: state(connection, BETTER) == "stopped", "the dead job still has the version")
    assert served(connection) == GOOD
    with monkeypatch.context() as only_the_rest:
        only_the_rest.setattr(follow_champion, "load_version", lambda *_: pytest.fail("its items are here"))
        assert follow_champion.main([]) == 0
    assert served(connection) == BETTER

    # Dead in the middle of the items: all of it is loaded anew.
    move(registry, GOOD)
    drop_tables(connection, GOOD)
    connection.execute("update nearline_data.model_version set item_count = 0 where model_version = %s", (GOOD,))
    connection.execute("select nearline_data._create_version_partitions(%s)", (GOOD,))
    assert follow_champion.main([]) == 0
    assert served(connection) == GOOD


@pytest.mark.usefixtures("spark")
def test_a_load_that_fails_each_time_is_tried_less_and_less_often(
    world: Settings, connection: Connection, registry: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_version(connection, registry, GOOD)
    move(registry, BETTER)
    kept = world.home / "follow_champion.json"
    loads = []

    def load(*_: object) -> None:
        loads.append(len(loads))
        raise OSError(f"no space left, {len(loads)} bytes wanted")

    with monkeypatch.context() as failing:
        failing.setattr(follow_champion, "load_version", load)
        for _ in range(2):
            with pytest.raises(OSError, match="no space left"):
                follow_champion.main([])
        for _ in range(2):
            with pytest.raises(GateRefused, match=r"failed 2 times in the same way.*no space left.*Fix: "):
                follow_champion.main([])
        assert len(loads) == 2

        noted = json.loads(kept.read_text())
        kept.write_text(json.dumps(noted | {"last_at": "2026-01-01T00:00:00+00:00"}))
        with pytest.raises(OSError, match="no space left"):
            follow_champion.main([])
        assert (len(loads), json.loads(kept.read_text())["count"]) == (3, 3)

        move(registry, GOOD)  # and back: it begins anew
        assert follow_champion.main([]) == 0
        assert not kept.exists()
        move(registry, BETTER)
        with pytest.raises(OSError, match="no space left"):
            follow_champion.main([])
        assert len(loads) == 4
    assert follow_champion.main([]) == 0
    assert (served(connection), kept.exists()) == (BETTER, False)


KILLED_WHILE_LOADING = """
import os, signal, follow_champion
follow_champion.load_version = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
follow_champion.main([])
"""


def test_a_load_that_is_killed_each_time_is_tried_less_and_less_often(
    world: Settings, connection: Connection, registry: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_version(connection, registry, GOOD)
    move(registry, BETTER)
    jobs, kept = Path(follow_champion.__file__).parent, world.home / "follow_champion.json"
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_LOADING], cwd=jobs, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert json.loads(kept.read_text())["count"] == 1
    with monkeypatch.context() as away:  # which does not count
        away.setattr(follow_champion, "load_version", lambda *_: raise_(StackError("MLflow is away")))
        with pytest.raises(StackError):
            follow_champion.main([])
    assert json.loads(kept.read_text())["count"] == 1
    with monkeypatch.context() as dying:
        dying.setattr(follow_champion, "load_version", lambda *_: sys.exit("killed"))
        with pytest.raises(SystemExit):
            follow_champion.main([])
    wait_until(lambda: state(connection, BETTER) in (None, "dropped"), "the dead job still has the version")
    with pytest.raises(GateRefused, match=r"failed 2 times in the same way.*its process was killed.*Fix: "):
        follow_champion.main([])
    assert served(connection) == GOOD


def raise_(problem: Exception) -> None:
    raise problem


def test_a_version_that_another_job_has_is_left_to_it(
    world: Settings, connection: Connection, registry: MlflowClient, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    open_version(connection, registry, GOOD)
    open_version(connection, registry, BETTER, live=False)
    move(registry, BETTER)
    monkeypatch.setattr(follow_champion, "PATIENCE", 0.2)
    with connect(world, autocommit=True) as other:
        take_version(other, BETTER)
        assert follow_champion.main([]) == 0
    assert served(connection) == GOOD
    assert "Another job writes the vectors of version 2" in caplog.text


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (
            OLD_FORMAT,
            r"points to version 3, which cannot be served\. .*expected format \d, saw \d.*Version 1 stays live",
        ),
        (UNJUDGED, r"points to version 4, which cannot be served\. .*never judged.*Version 1 stays live"),
    ],
)
def test_what_cannot_be_served_is_refused_with_nothing_done(
    world: Settings, connection: Connection, registry: MlflowClient, version: int, words: str
) -> None:
    open_version(connection, registry, GOOD)
    move(registry, version)
    with pytest.raises(ModelError, match=words):
        follow_champion.main([])
    assert (served(connection), state(connection, version)) == (GOOD, None)


def test_a_version_of_another_mlflow_is_refused(
    world: Settings, connection: Connection, registry: MlflowClient
) -> None:
    open_version(connection, registry, GOOD)
    open_shop(connection, BETTER, live=False)  # of a run that this MLflow does not know
    move(registry, BETTER)
    with pytest.raises(ModelError, match="came from another MLflow run"):
        follow_champion.main([])
    assert served(connection) == GOOD


def test_an_alias_that_was_deleted_is_said(world: Settings, connection: Connection, registry: MlflowClient) -> None:
    open_version(connection, registry, GOOD)
    with pytest.raises(GateRefused, match=r"no alias champion any more; version 1 stays live\. Fix: give the alias"):
        follow_champion.main([])
    assert served(connection) == GOOD


def test_a_server_that_is_away_is_said(
    world: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARLINE_MLFLOW_URI", "http://ada:secret@127.0.0.1:9")
    with pytest.raises(StackError, match="Expected an MLflow server") as caught:
        follow_champion.main([])
    assert "secret" not in str(caught.value)


class Day:
    """A daily run that got as far as publish: the version is complete, and not live."""

    def __init__(self, settings: Settings, connection: Connection, registry: MlflowClient) -> None:
        open_version(connection, registry, GOOD)
        move(registry, GOOD)
        open_version(connection, registry, BETTER, live=False)
        folder = settings.runs_folder / "day-2"
        folder.mkdir(parents=True)
        (folder / "registered.json").write_text(json.dumps({"version": BETTER, "run_id": "any"}))
        (folder / "judgement.json").write_text(json.dumps({"reason": "it finds more", "beside_version": GOOD}))
        run_id = registry.get_model_version(Settings.model, str(BETTER)).run_id
        (folder / "model").symlink_to(registered_model.fetch_model(settings, BETTER, run_id))

    def publish(self) -> int:
        return publish.main(["--run", "day-2"])


def alias(registry: MlflowClient) -> int:
    return int(registry.get_model_version_by_alias(Settings.model, CHAMPION).version)


def promotions(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select model_version, promoted_by, reason from nearline.promotions where model_version > 1"
        " order by promotion_id"
    ).fetchall()


def test_publish_moves_both_or_neither(
    world: Settings, connection: Connection, registry: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = Day(world, connection, registry)
    with monkeypatch.context() as dying:
        dying.setattr(publish, "move_alias", lambda *_: sys.exit("killed before"))
        with pytest.raises(SystemExit):
            day.publish()
    assert (served(connection), alias(registry)) == (GOOD, GOOD)
    assert follow_champion.main([]) == 0
    assert served(connection) == GOOD

    assert day.publish() == 0
    assert (served(connection), alias(registry)) == (BETTER, BETTER)
    assert promotions(connection) == [(BETTER, "daily_training day-2", "it finds more")]
    assert not registry.get_model_version(Settings.model, str(BETTER)).tags.keys() & {MOVED_BY, MOVED_BECAUSE}

    with connect(world, autocommit=True) as refreshing:
        take_version(refreshing, BETTER)
        assert rebuild_interests.main(["--run", "day-2"]) == 0, "a live version is kept up by others"

    # Somebody goes back, and only then the task that had published is tried again: their wish stands.
    move(registry, GOOD)
    assert day.publish() == 0
    assert alias(registry) == GOOD
    assert follow_champion.main([]) == 0
    assert (served(connection), alias(registry)) == (GOOD, GOOD)


def test_publish_leaves_it_to_a_rollback_that_came_after_judge(
    world: Settings, connection: Connection, registry: MlflowClient
) -> None:
    """The candidate was never compared with what somebody went back to."""
    day = Day(world, connection, registry)
    judgement = world.runs_folder / "day-2" / "judgement.json"
    judgement.write_text(json.dumps({"reason": "it finds more", "beside_version": 99}))
    with pytest.raises(GateRefused, match=f"champion to be version 99.*saw {GOOD}: .* Fix: clear the task judge"):
        day.publish()
    assert (served(connection), alias(registry), promotions(connection)) == (GOOD, GOOD, [])
    assert not registry.get_model_version(Settings.model, str(BETTER)).tags.keys() & {MOVED_BY, MOVED_BECAUSE}


def test_what_publish_began_is_finished_with_its_reason(
    world: Settings, connection: Connection, registry: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = Day(world, connection, registry)

    def move_and_die(settings: Settings, version: int) -> None:
        champion_alias.move_alias(settings, version)
        sys.exit("killed between the alias and the commit")

    monkeypatch.setattr(publish, "move_alias", move_and_die)
    with pytest.raises(SystemExit):
        day.publish()
    assert (served(connection), alias(registry)) == (GOOD, BETTER)
    assert follow_champion.main([]) == 0
    assert served(connection) == BETTER
    assert promotions(connection) == [(BETTER, "MLflow alias champion, daily_training day-2", "it finds more")]
    assert day.publish() == 0, "the task's retry finds it done"
    assert len(promotions(connection)) == 1


def test_a_retry_of_publish_takes_the_note_away(
    world: Settings, connection: Connection, registry: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = Day(world, connection, registry)
    with monkeypatch.context() as dying:
        dying.setattr(publish, "take_note_away", lambda *_: sys.exit("killed after the flip"))
        with pytest.raises(SystemExit):
            day.publish()
    assert served(connection) == BETTER
    assert registry.get_model_version(Settings.model, str(BETTER)).tags.keys() >= {MOVED_BY, MOVED_BECAUSE}
    assert day.publish() == 0
    assert not registry.get_model_version(Settings.model, str(BETTER)).tags.keys() & {MOVED_BY, MOVED_BECAUSE}


def test_following_does_not_undo_what_publish_is_at(
    world: Settings, connection: Connection, registry: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A minute begins while publish is between the alias and the commit, and another just before the alias moves."""
    day = Day(world, connection, registry)
    minutes: list[threading.Thread] = []

    def a_minute_begins() -> None:
        minutes.append(threading.Thread(target=follow_champion.main, args=([],)))
        minutes[-1].start()
        minutes[-1].join(0.5)
        assert minutes[-1].is_alive(), "it waits for what publish is doing"

    def move_slowly(settings: Settings, version: int) -> None:
        a_minute_begins()
        champion_alias.move_alias(settings, version)
        a_minute_begins()

    monkeypatch.setattr(publish, "move_alias", move_slowly)
    assert day.publish() == 0
    for minute in minutes:
        minute.join(30)
        assert not minute.is_alive()
    assert (served(connection), alias(registry)) == (BETTER, BETTER)
    assert promotions(connection) == [(BETTER, "daily_training day-2", "it finds more")]


def test_an_alias_that_is_moved_on_meanwhile_is_not_flipped_to(
    world: Settings, connection: Connection, registry: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_version(connection, registry, GOOD)
    open_version(connection, registry, BETTER, live=False)
    move(registry, BETTER)
    monkeypatch.setattr(follow_champion, "check_index", lambda *_: move(registry, GOOD))
    assert follow_champion.main([]) == 0
    assert served(connection) == GOOD


def test_an_index_that_finds_too_little_is_refused(settings: Settings, connection: Connection) -> None:
    open_shop(connection)
    assert promotion.check_index(connection, 1) == 1.0
    rng, many = np.random.default_rng(5), 4000
    connection.execute(
        "insert into nearline_data.model_version (model_version, mlflow_run_id, transition_weight) values (2, 'run', 1)"
    )
    connection.execute("select nearline_data._create_version_partitions(2)")
    vectors = rng.normal(size=(many, DIM)).astype(np.float32)
    copy_rows(
        connection, "item_embedding", ["model_version", "item_id", "kind", "vector"],
        ["int4", "text", "text", "vector"], [(2, f"i{n}", "item", vector) for n, vector in enumerate(vectors)],
    )  # fmt: skip
    connection.execute("select nearline_data._index_version(2)")
    connection.execute("set hnsw.ef_search = 1")
    connection.execute("set hnsw.iterative_scan = off")  # else the scan goes on until it has ten, of whatever worth
    with pytest.raises(
        ModelError, match=r"The index of version 2: expected .* at least 0\.8 .* measured 0\.\d+\. Fix: "
    ):
        promotion.check_index(connection, 2)
    connection.execute("set hnsw.ef_search = 400")
    assert promotion.check_index(connection, 2) > 0.95, "the fix that was named is one"


def test_housekeeping_keeps_the_newest_that_were_live_and_no_load_that_died(
    settings: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARLINE_KEEP_VERSIONS", "2")
    for version in (1, 2, 3):
        open_shop(connection, version)
    InterestLedger(connection, MeanOfHistory(), 1).rebuild()
    connection.execute("select nearline_data._promote(1, 'test', 'back to the first')")
    open_shop(connection, 4, live=False)  # complete, and never live
    for version in (5, 6):  # died before their cursors
        open_shop(connection, version, live=False)
        connection.execute("delete from nearline_data.cursor where model_version = %s", (version,))
    assert keep_house.main([]) == 0
    states = "select model_version, state from nearline.versions order by 1"
    today = [(1, "live"), (2, "dropped"), (3, "kept"), (4, "kept"), (5, "stopped"), (6, "stopped")]
    assert connection.execute(states).fetchall() == today
    connection.execute("update nearline_data.model_version set created_at = created_at - %s", (timedelta(days=2),))
    with connect(settings, autocommit=True) as at_work:
        take_version(at_work, 6)
        assert connection.execute(states).fetchall()[-1] == (6, "building")
        assert keep_house.main([]) == 0
        with pytest.raises(VersionTaken, match="version 6"):
            take_version(connection, 6)
        tomorrow = [(1, "live"), (2, "dropped"), (3, "kept"), (4, "dropped"), (5, "dropped"), (6, "building")]
        assert connection.execute(states).fetchall() == tomorrow
    gone = "select table_bytes, index_bytes, user_count from nearline.versions where state = 'dropped'"
    assert set(connection.execute(gone).fetchall()) == {(0, 0, 0)}
