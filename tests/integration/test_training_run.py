"""A training and its MLflow run: one that is away for a while, and one that describes another training."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.exceptions import MlflowException

import finetune
import tiny_models
from nearline.adapters import champion_alias, mlflow_server, registered_model, training_run
from nearline.adapters.training_figures import TrainingFigures
from nearline.adapters.training_run import TrainingRun
from nearline.daily_training import train_run
from nearline.errors import InputError, ModelError, StackError
from nearline.run_folder import RunFolder
from nearline.settings import Settings
from tiny_run import pair_items, take_snapshot

LEDGER = tiny_models.small_world(people=20)


class PassingMlflow(ThreadingHTTPServer):
    """A server that answers `connect`, and the rest as it is told: as one does that goes away in between."""

    status = 500
    error = "INTERNAL_ERROR"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), PassingAnswer)
        self.asked: list[dict[str, Any]] = []
        self.address = f"http://127.0.0.1:{self.server_port}"


class PassingAnswer(BaseHTTPRequestHandler):
    server: PassingMlflow

    def answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        known = self.path.endswith("/experiments/search")
        if not known:
            self.server.asked.append(body)
        status = 200 if known else self.server.status
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps({} if status == 200 else {"error_code": self.server.error}).encode())

    do_GET = do_POST = answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Iterator[PassingMlflow]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with PassingMlflow() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


ASKED: dict[str, Callable[[Settings], object]] = {
    "judgement": lambda settings: training_run.read_judgement(settings, "run"),
    "model": lambda settings: registered_model.fetch_model(settings, 1, "run"),
    "run": lambda settings: TrainingRun.named(settings, "day-1"),
    "alias": lambda settings: champion_alias.move_alias(settings, 1),
    "registration": lambda settings: registered_model.register(
        TrainingRun(mlflow_server.connect(settings), "run"), settings.model, settings.home, {}
    ),
}


@pytest.mark.parametrize("question", ASKED.values(), ids=ASKED.keys())
def test_an_outage_is_told_as_one(
    passing: PassingMlflow, tmp_path: Path, question: Callable[[Settings], object]
) -> None:
    settings = Settings(home=tmp_path, mlflow_uri=passing.address.replace("//", "//ada:secret@"))
    with pytest.raises(StackError, match=rf"MLflow at {passing.address} .*Fix: start it .*NEARLINE_MLFLOW_URI") as said:
        question(settings)
    assert "secret" not in str(said.value)


def test_what_mlflow_does_not_have_is_no_outage(passing: PassingMlflow, tmp_path: Path) -> None:
    passing.status, passing.error = 404, "RESOURCE_DOES_NOT_EXIST"
    settings = Settings(home=tmp_path, mlflow_uri=passing.address)
    assert training_run.read_judgement(settings, "run") is None
    with pytest.raises(ModelError, match=r"version 1 of nearline-interest in MLflow, saw RESOURCE_DOES_NOT_EXIST"):
        registered_model.fetch_model(settings, 1, "run")


def test_a_judgement_is_read_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(home=tmp_path, mlflow_uri=f"sqlite:///{tmp_path}/mlflow.db")
    run = TrainingRun.named(settings, "day-1")
    assert training_run.read_judgement(settings, run.run_id) is None
    run.log_dict({"accepted": True}, "judgement.json")
    assert training_run.read_judgement(settings, run.run_id) == {"accepted": True}


def test_figures_wait_for_an_mlflow_that_is_away(
    passing: PassingMlflow, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = mlflow_server.connect(Settings(home=tmp_path, mlflow_uri=passing.address))
    figures = TrainingFigures(TrainingRun(client, "run"), pause=0.0)
    for step in range(3):
        figures.log({"loss": 1.0}, step)
    passing.status = 200
    figures.log({"loss": 1.0}, 3)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert [body["metrics"][0]["step"] for body in passing.asked] == [0, 0, 0, 0, 1, 2, 3]

    passing.status, figures.pause = 500, 60.0
    for step in range(4, 9):
        figures.log({"loss": 1.0}, step)
    assert len(passing.asked) == 8, "a server that hangs would cost each of these its time limit"


@pytest.fixture
def day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run that may be trained, beside a store without a server."""
    values = {
        "NEARLINE_HOME": str(tmp_path / "home"),
        "NEARLINE_MLFLOW_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "NEARLINE_TEXT_MODEL": str(tiny_models.tiny_encoder(tmp_path / "encoder")),
        "NEARLINE_EPOCHS": "1",
        "NEARLINE_TEXT_STEPS": "1",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    run = RunFolder(Settings.from_env(), "day-1")
    take_snapshot(run, LEDGER, 18 * tiny_models.DAY, 14 * tiny_models.DAY)
    pair_items(run, LEDGER, 18 * tiny_models.DAY, 14 * tiny_models.DAY)
    return run


def test_a_training_outlives_mlflow_and_a_cleared_one_gets_a_run_of_its_own(
    day: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_batch = mlflow.MlflowClient.log_batch

    def away(client: Any, run_id: str, **content: Any) -> None:
        if "metrics" in content:
            raise MlflowException("API request failed")
        log_batch(client, run_id, **content)

    with monkeypatch.context() as outage:
        outage.setattr(mlflow.MlflowClient, "log_batch", away)
        train_run(day.settings, day.name, None)
    assert day.model.exists()
    first = TrainingRun.named(day.settings, day.name)

    train_run(day.settings, day.name, None)  # the same training once more
    assert TrainingRun.named(day.settings, day.name).run_id == first.run_id
    assert first.client.get_run(first.run_id).data.metrics["behaviour_loss"] > 0

    facts = json.loads((day.snapshot / "snapshot.json").read_text())
    (day.snapshot / "snapshot.json").write_text(json.dumps(facts | {"digest": "of more events"}))
    train_run(day.settings, day.name, None)
    second = TrainingRun.named(day.settings, day.name)
    kept, fresh = (run.client.get_run(run.run_id) for run in (first, second))
    assert (kept.data.params["data.digest"], fresh.data.params["data.digest"]) == ("d", "of more events")
    assert fresh.data.params.keys() == kept.data.params.keys() >= {"warm_start.text", "code.digest", "data.cut_time"}
    assert (kept.info.status, fresh.info.status) == ("KILLED", "RUNNING")
    assert kept.data.tags["nearline.replaced_by"] == second.run_id

    second.finish()  # registered, and cleared then: what was registered stays as it is
    (day.snapshot / "snapshot.json").write_text(json.dumps(facts))
    third = TrainingRun.of_training(day.settings, day.name, {"data.digest": "d"})
    assert third.run_id not in (first.run_id, second.run_id)
    assert second.client.get_run(second.run_id).info.status == "FINISHED"


def test_the_next_day_starts_warm(day: RunFolder) -> None:
    train_run(day.settings, day.name, None)
    tomorrow = RunFolder(day.settings, "day-2")
    take_snapshot(tomorrow, LEDGER, 19 * tiny_models.DAY, 15 * tiny_models.DAY)
    pair_items(tomorrow, LEDGER, 19 * tiny_models.DAY, 15 * tiny_models.DAY)
    train_run(day.settings, tomorrow.name, str(day.model))
    for name, warm in ((day.name, False), (tomorrow.name, True)):
        run = TrainingRun.named(day.settings, name)
        tracked = run.client.get_run(run.run_id).data
        assert (tracked.params["warm_start.text"], tracked.params["warm_start.behaviour"]) == (str(warm), str(warm))
        assert ("start_ndcg" in tracked.metrics) == warm


def test_what_a_training_starts_from_is_the_champion_unless_it_is_said(
    day: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str | None] = []

    def trains(_: object, worker: object, name: str, start: str | None) -> None:
        asked.append(start)

    caplog.set_level("INFO", "nearline.finetune")
    monkeypatch.setattr(finetune, "session", lambda *_: None)
    monkeypatch.setattr(finetune, "TorchDistributor", lambda **_: type("Distributor", (), {"run": trains})())
    folder = tmp_path / "mine"
    folder.mkdir()
    with pytest.raises(InputError, match=rf"--start: expected champion, afresh or a model folder, saw '{folder}'"):
        finetune.main(["--run", day.name, "--start", str(folder)])
    (folder / "model.json").write_text("{}")
    finetune.main(["--run", day.name, "--start", str(folder)])
    finetune.main(["--run", day.name, "--start", "afresh"])
    finetune.main(["--run", day.name])
    assert asked == [str(folder), None, None]
    assert "as it was asked for" in caplog.text
    assert "as no version has the alias champion" in caplog.text


@pytest.mark.parametrize("mlflow_is_there", [True, False])
def test_a_training_that_dies_is_no_longer_running(
    day: RunFolder, monkeypatch: pytest.MonkeyPatch, mlflow_is_there: bool
) -> None:
    before = TrainingRun.named(day.settings, day.name)

    def dies(*_: object) -> None:
        if not mlflow_is_there:
            monkeypatch.setattr(mlflow.MlflowClient, "search_runs", gone)
        raise RuntimeError("out of memory")

    def gone(*_: object, **__: object) -> None:
        raise MlflowException("API request failed")

    monkeypatch.setattr(finetune, "session", lambda *_: None)
    monkeypatch.setattr(finetune, "TorchDistributor", lambda **_: type("Distributor", (), {"run": dies})())
    with pytest.raises(RuntimeError, match="out of memory"):
        finetune.main(["--run", day.name])
    assert before.client.get_run(before.run_id).info.status == ("FAILED" if mlflow_is_there else "RUNNING")
