"""The gate beside a champion: never on what that one has learnt, and the reason says what was done about it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

import judge
import register
import tiny_models
from nearline.adapters import champion_alias, mlflow_server, registered_model
from nearline.adapters.postgres import Connection
from nearline.adapters.training_run import TrainingRun
from nearline.core.split import window_rows
from nearline.daily_training import text_vectors_folder, train_run
from nearline.errors import DatabaseUnreachable, GateRefused
from nearline.models.interest_model import InterestModel
from nearline.run_folder import RunFolder
from nearline.settings import Settings
from small_shop import open_shop
from tiny_run import pair_items, take_snapshot

DAY = tiny_models.DAY
CUT, INNER_CUT, LATER = 18 * DAY, 14 * DAY, 20 * DAY
LEDGER = tiny_models.small_world(people=150)
Judged = tuple[dict[str, Any], str]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A run with its candidate, and the same model as champion."""
    folder = tmp_path_factory.mktemp("judge")
    values = {
        "NEARLINE_HOME": str(folder / "home"),
        "NEARLINE_MLFLOW_URI": f"sqlite:///{folder}/mlflow.db",
        "NEARLINE_TEXT_MODEL": str(tiny_models.tiny_encoder(folder / "encoder")),
        "NEARLINE_EPOCHS": "2",
        "NEARLINE_TEXT_STEPS": "2",
        "LOCAL_WORLD_SIZE": "2",  # one thread: so small a model waits longer for a second
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        patch.chdir(folder)  # a store without a server puts its artifacts below the working folder
        settings = Settings.from_env()
        run = RunFolder(settings, "day-1")
        take_snapshot(run, LEDGER, CUT, INNER_CUT)
        pair_items(run, LEDGER, CUT, INNER_CUT)
        train_run(settings, run.name, None)
        client = mlflow_server.connect(settings)
        client.create_registered_model(settings.model)
        tracked = TrainingRun.named(settings, "day-0").run_id
        client.create_model_version(settings.model, run.model.as_uri(), tracked)
        champion_alias.move_alias(settings, 1)
        kept = settings.models_folder / registered_model.version_name(1, tracked)
        shutil.copytree(run.model, kept)
        yield settings


@pytest.fixture
def home(day: Settings, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's folder, with a fresh database."""
    monkeypatch.setenv("NEARLINE_HOME", str(day.home))


@pytest.fixture
def judged(day: Settings, home: None) -> Callable[[Callable[[dict[str, Any]], None]], Judged]:
    """Judge beside a champion whose model.json is changed; what judgement.json says."""
    [champion] = day.models_folder.iterdir()
    run = RunFolder(day, "day-1")

    def of(change: Callable[[dict[str, Any]], None]) -> Judged:
        described = json.loads((run.model / "model.json").read_text())
        change(described)
        (champion / "model.json").write_text(json.dumps(described))
        with suppress(GateRefused):
            judge.main(["--run", run.name])
        found = json.loads(run.judgement.read_text())
        return found, found["reason"]

    return of


def trained_until(moment: float) -> Callable[[dict[str, Any]], None]:
    return lambda described: described["notes"].update(trained_until=moment)


def test_the_candidate_says_what_it_began_with(day: Settings) -> None:
    model = InterestModel.load(RunFolder(day, "day-1").model)
    assert model.notes["text_model"] == day.text_model
    assert model.trained_until == CUT


def test_a_champion_that_learnt_no_more_is_judged_on_the_whole_window(judged: Callable[..., Judged]) -> None:
    found, reason = judged(trained_until(CUT))
    assert found["metrics"]["all"]["count"] == len(window_rows(LEDGER, CUT, float("inf"), 2000, 7))
    assert found["rivals"]["champion"] == found["metrics"]  # it is the same model
    assert "champion, version" not in reason


def test_a_champion_that_learnt_more_is_judged_on_what_came_later(judged: Callable[..., Judged]) -> None:
    found, reason = judged(trained_until(LATER))
    later = len(window_rows(LEDGER, LATER, float("inf"), 2000, 7))
    assert later >= 100
    assert {strata["all"]["count"] for strata in [found["metrics"], *found["rivals"].values()]} == {later}
    assert found["rivals"]["champion"] == found["metrics"]
    assert "the champion, version 1, has learnt more than the candidate" in reason
    assert "from 1970-01-21 00:00:00+00:00 on" in reason


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (trained_until(26 * DAY), "too little came after what it has learnt"),
        (lambda described: described["notes"].pop("trained_until"), "too little came after what it has learnt"),
        (lambda described: described.update(format=1), "expected format 3, saw 1"),
    ],
    ids=["learnt nearly all", "does not say", "cannot be read"],
)
def test_a_champion_that_cannot_be_compared_is_left_out_and_the_reason_says_so(
    judged: Callable[..., Judged], change: Callable[[dict[str, Any]], None], said: str
) -> None:
    found, reason = judged(change)
    assert "champion" not in found["rivals"]
    assert found["metrics"]["all"]["count"] == len(window_rows(LEDGER, CUT, float("inf"), 2000, 7))
    assert "the champion, version 1, is left out" in reason
    assert said in reason


@pytest.fixture
def without_alias(day: Settings, home: None) -> Iterator[None]:
    """Somebody has deleted the alias."""
    mlflow_server.connect(day).delete_registered_model_alias(day.model, champion_alias.CHAMPION)
    yield
    champion_alias.move_alias(day, 1)


def serve(connection: Connection, run_id: str) -> None:
    open_shop(connection, 1)
    connection.execute("update nearline_data.model_version set mlflow_run_id = %s", (run_id,))


@pytest.mark.usefixtures("without_alias")
def test_without_an_alias_the_candidate_is_judged_beside_what_is_live(
    day: Settings, connection: Connection, judged: Callable[..., Judged]
) -> None:
    serve(connection, TrainingRun.named(day, "day-0").run_id)
    found, reason = judged(trained_until(CUT))
    assert found["rivals"]["champion"] == found["metrics"]  # it is the same model
    assert not found["accepted"]
    assert reason.startswith("not better than the ")
    assert reason.endswith("(the champion is version 1, live without the alias champion)")
    _, reason = judged(trained_until(LATER))
    assert "version 1, live without the alias champion, has learnt more than the candidate" in reason


@pytest.mark.usefixtures("without_alias")
def test_a_live_version_that_mlflow_does_not_have_is_left_out_and_the_reason_says_so(
    connection: Connection, judged: Callable[..., Judged]
) -> None:
    serve(connection, "another")
    found, reason = judged(trained_until(CUT))
    assert "champion" not in found["rivals"]
    assert "version 1, live without the alias champion, is left out: " in reason
    assert "from the MLflow run another" in reason


@pytest.mark.usefixtures("without_alias")
def test_where_nothing_is_live_there_is_no_champion(judged: Callable[..., Judged]) -> None:
    found, reason = judged(trained_until(CUT))
    assert set(found["rivals"]) == {"untuned_text", "popularity", "transitions"}
    assert "champion" not in reason


@pytest.mark.usefixtures("without_alias")
def test_without_an_alias_and_a_database_nothing_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARLINE_DSN", "postgresql://127.0.0.1:9/nearline")
    with pytest.raises(DatabaseUnreachable):
        judge.main(["--run", "day-1"])


def test_who_sees_only_sql_reads_why_a_candidate_was_refused(
    connection: Connection, judged: Callable[..., Judged]
) -> None:
    for moment in (LATER, CUT):  # it is judged again, and what was found the last time counts
        found, reason = judged(trained_until(moment))
        assert not found["accepted"]
        rows = connection.execute("select run, accepted, reason, metrics from nearline.judgements").fetchall()
        assert rows == [("day-1", False, reason, found)]


@pytest.mark.usefixtures("home")
def test_a_champion_reads_no_text_that_it_read_as_a_candidate(day: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder(day, "day-1")
    run.judgement.write_text(json.dumps({"accepted": True, "reason": "better"}))
    for _ in range(2):  # it is cleared
        assert register.main(["--run", run.name]) == 0
    run_id = json.loads(run.registered.read_text())["run_id"]
    kept = registered_model.text_vectors_of_version(day, run.version, run_id)
    own = text_vectors_folder(run)
    assert {path.name for path in kept.iterdir()} == {"keys.npy", "vectors.npy"}
    assert all((own / path.name).samefile(path) for path in kept.iterdir())
    champion_alias.move_alias(day, run.version)
    read: list[int] = []
    monkeypatch.setattr(InterestModel, "text_vectors", lambda _, texts: read.append(len(texts)))
    try:
        with suppress(GateRefused):
            judge.main(["--run", run.name])
        assert "champion" in json.loads(run.judgement.read_text())["rivals"]
        assert read == []
    finally:
        champion_alias.move_alias(day, 1)
        shutil.rmtree(day.models_folder / registered_model.version_name(run.version, run_id), ignore_errors=True)
