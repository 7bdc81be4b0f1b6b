"""MLflow with a SQLite store: one run for a day, a registered version, its alias, and the pyfunc elsewhere."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import distribution
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from packaging.requirements import Requirement

import finetune  # jobs/finetune.py
import tiny_models
from nearline.adapters import champion_alias, mlflow_server, registered_model
from nearline.adapters.interest_pyfunc import InterestPyfunc
from nearline.adapters.training_run import TrainingRun
from nearline.core.behaviour import History
from nearline.core.interest import LATENT
from nearline.errors import InputError, ModelError, StackError
from nearline.models.behaviour_model import BehaviourConfig, BehaviourModel
from nearline.models.interest_model import InterestModel
from nearline.models.text_model import TextModel
from nearline.run_folder import RunFolder
from nearline.settings import Settings

LOAD = """
import importlib.util, json, sys
sys.path.append(sys.argv[2])
assert importlib.util.find_spec("nearline") is None
import mlflow, pandas
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/nearline-interest@champion")
events = json.dumps([{"kind": "search", "text": "hiking tent", "occurred_at": "2026-01-01T00:00:00+00:00"}])
found = model.predict(pandas.DataFrame({"user_id": ["u1"], "events": [events]}))
assert "/code/nearline/" in sys.modules["nearline"].__file__
print(json.dumps(found["interest"][0]))
"""


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)  # a store without a server puts its artifacts below the working folder
    return Settings(home=tmp_path / "home", mlflow_uri=f"sqlite:///{tmp_path}/mlflow.db")


def tiny_model(folder: Path) -> InterestModel:
    torch.manual_seed(0)
    text = TextModel.load(tiny_models.tiny_encoder(folder))
    behaviour = BehaviourModel(BehaviourConfig(text_width=32, kind_count=2, history_length=5))
    return InterestModel(text, behaviour, ["unknown", "search"], ["a"], np.ones((1, LATENT), np.float32), {"note": 1})


def only_what_is_asked_for(requirements: list[str], folder: Path) -> Path:
    """A folder of libraries that holds these, each in the version asked for, and what they need: links to those here.

    Made with pip it would be the same, in minutes.
    """
    folder.mkdir()
    wanted, met = [Requirement(line) for line in requirements], set()
    assert all(str(asked.specifier).startswith("==") for asked in wanted), requirements
    while wanted:
        asked = wanted.pop()
        there = distribution(asked.name)
        assert asked.specifier.contains(there.version, prereleases=True), asked
        for key in {(asked.name, extra) for extra in ("", *asked.extras)} - met:
            met.add(key)
            needed = [Requirement(line) for line in there.requires or []]
            wanted += [one for one in needed if one.marker is None or one.marker.evaluate({"extra": key[1]})]
        for top in {file.parts[0] for file in there.files or []} - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(there.locate_file(top))
    return folder


def test_a_day_in_the_registry(registry: Settings, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "encoder")
    model.save(tmp_path / "model")
    assert champion_alias.champion(registry) is None

    run = TrainingRun.named(registry, "day-1")
    assert TrainingRun.named(registry, "day-1").run_id == run.run_id
    run.log_parameters({"seed": 7})
    run.log_parameters({"seed": 8})  # a job that is tried again
    run.log_metrics({"loss": 2.0}, 0)
    run.log_metrics({"loss": 1.0}, 1)
    run.log_dict({"accepted": True}, "judgement.json")

    version = registered_model.register(run, registry.model, tmp_path / "model", {"nearline.run": "day-1"})
    assert registered_model.register(run, registry.model, tmp_path / "model", {}) == version
    # The run is cleared: its next model is another version, whose folder is another.
    model.notes["note"] = 2
    model.save(tmp_path / "second" / "model")
    second = registered_model.register(run, registry.model, tmp_path / "second" / "model", {})
    assert second != version
    assert registered_model.register(run, registry.model, tmp_path / "second" / "model", {}) == second
    assert InterestModel.load(registered_model.fetch_model(registry, second, run.run_id)).notes == {"note": 2}
    run.finish()
    data = run.client.get_run(run.run_id).data
    assert data.params["seed"] == "7"
    assert [point.value for point in run.client.get_metric_history(run.run_id, "loss")] == [2.0, 1.0]

    champion_alias.move_alias(registry, version)
    assert champion_alias.champion(registry) == champion_alias.Champion(version, run.run_id)
    folder = registered_model.fetch_model(registry, version, run.run_id)
    assert InterestModel.load(folder).notes == {"note": 1}
    assert {path.name for path in registry.models_folder.iterdir()} == {
        f"{version}-{run.run_id}", f"{second}-{run.run_id}",
    }  # fmt: skip

    needs = Path(mlflow.artifacts.download_artifacts(f"models:/{registry.model}@champion/requirements.txt"))
    libraries = only_what_is_asked_for(needs.read_text().splitlines(), tmp_path / "libraries")
    clean = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LOAD, str(registry.mlflow_uri), str(libraries)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert clean.returncode == 0, clean.stderr[-2000:]
    history = History(model.query_vectors(["hiking tent"]), ["search"])
    there = np.array(json.loads(clean.stdout.splitlines()[-1]))
    np.testing.assert_allclose(there, model.interests([history])[0], atol=1e-5)

    with pytest.raises(ModelError, match="version 99"):
        registered_model.fetch_model(registry, 99, run.run_id)

    other = replace(registry, model="acme-interest")  # another deployment with the same MLflow
    assert champion_alias.champion(other) is None
    assert TrainingRun.named(other, "day-1").run_id != run.run_id


def register_by_hand(settings: Settings, content: str) -> str:
    """A version of a model.json alone, which takes no seconds; its MLflow run."""
    client = mlflow_server.connect(settings)
    run = client.create_run("0")
    client.log_text(run.info.run_id, content, "model/artifacts/model/model.json")
    client.create_registered_model(settings.model)
    client.create_model_version(settings.model, f"{run.info.artifact_uri}/model", run.info.run_id)
    return str(run.info.run_id)


def test_the_first_version_of_another_mlflow_is_another_model(registry: Settings, tmp_path: Path) -> None:
    moved = replace(registry, mlflow_uri=f"sqlite:///{tmp_path}/production.db")
    demo_run, run = register_by_hand(registry, "demo"), register_by_hand(moved, "production")
    demo = registered_model.fetch_model(registry, 1, demo_run)
    assert (demo / "model.json").read_text() == "demo"
    with pytest.raises(ModelError, match=rf"from the MLflow run {demo_run}x, saw {run}\. Fix: set NEARLINE_MLFLOW"):
        registered_model.fetch_model(moved, 1, f"{demo_run}x")
    assert (registered_model.fetch_model(moved, 1, run) / "model.json").read_text() == "production"
    away = replace(moved, mlflow_uri="http://127.0.0.1:9")
    assert registered_model.fetch_model(away, 1, demo_run) == demo, "what is there needs no MLflow"
    assert len(list(registry.models_folder.iterdir())) == 2


def test_a_champion_without_files_is_named_and_a_day_begins_afresh(
    registry: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    run = register_by_hand(registry, "gone")
    champion_alias.move_alias(registry, 1)
    for kept in list(Path.cwd().rglob("model.json")):  # below the working folder, as there is no server
        shutil.rmtree(kept.parent)
    with pytest.raises(ModelError, match=r"files of version 1 .* saw none. Fix: restore them, or move the alias"):
        registered_model.fetch_model(registry, 1, run)
    assert finetune._start(registry, "champion") is None
    assert "starting afresh, as the champion cannot be read" in caplog.text
    assert list(registry.models_folder.iterdir()) == []


def test_an_experiment_that_somebody_deleted_is_said(registry: Settings) -> None:
    TrainingRun.named(registry, "a day")
    client = mlflow_server.connect(registry)
    experiment = client.get_experiment_by_name(registry.experiment)
    client.delete_experiment(experiment.experiment_id)
    with pytest.raises(StackError, match=f"deleted it. Fix: mlflow experiments restore .* {experiment.experiment_id}"):
        TrainingRun.named(registry, "the next day")


@pytest.fixture
def usual_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where nobody has set MLflow's variable, whatever earlier tests did; undone at the end."""
    monkeypatch.setenv(mlflow_server.REQUEST_TIMEOUT, "")
    monkeypatch.delenv(mlflow_server.REQUEST_TIMEOUT)


@pytest.mark.usefixtures("usual_timeout")
def test_a_server_that_hangs_is_given_up_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mlflow_server.REQUEST_SECONDS <= 10
    monkeypatch.setattr(mlflow_server, "REQUEST_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never answers
        settings = Settings(home=tmp_path, mlflow_uri=f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(StackError, match="NEARLINE_MLFLOW_URI"):
            champion_alias.move_alias(settings, 1)
    assert 1.0 < time.monotonic() - began < 10.0


@pytest.mark.usefixtures("usual_timeout")
def test_a_model_may_take_longer_than_an_answer(registry: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = mlflow.environment_variables.MLFLOW_HTTP_REQUEST_TIMEOUT
    run, download, seen = register_by_hand(registry, "{}"), mlflow.artifacts.download_artifacts, []

    def watched(**arguments: str) -> str:
        seen.append(variable.get())
        return str(download(**arguments))

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", watched)
    registered_model.fetch_model(registry, 1, run)
    assert (seen, variable.get()) == ([mlflow_server.TRANSFER_SECONDS], mlflow_server.REQUEST_SECONDS)


def test_a_new_training_forgets_what_was_said_of_the_last_model(
    registry: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARLINE_HOME", str(registry.home))
    monkeypatch.setenv("NEARLINE_MLFLOW_URI", str(registry.mlflow_uri))
    run = RunFolder(registry, "day-1")
    for folder in (run.snapshot, run.model):
        folder.mkdir(parents=True)
    facts = {"items": 1, "events": 1, "digest": "d", "cut_time": 0.0}
    (run.snapshot / "snapshot.json").write_text(json.dumps(facts))
    for said in (run.judgement, run.registered):
        said.write_text("{}")
    monkeypatch.setattr(finetune, "session", lambda *_: sys.exit("killed"))
    with pytest.raises(SystemExit):
        finetune.main(["--run", "day-1"])
    assert [path.name for path in run.path.iterdir()] == ["snapshot"]


@pytest.mark.parametrize(
    ("login", "variables", "header"),
    [
        ("", {}, None),
        ("ada:a%40b@", {}, "Basic YWRhOmFAYg=="),
        ("", {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "a@b"}, "Basic YWRhOmFAYg=="),
        ("ada:a%40b@", {"MLFLOW_TRACKING_TOKEN": "t0ken"}, "Bearer t0ken"),
    ],
)
def test_the_champion_is_asked_for_with_the_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, login: str, variables: dict[str, str], header: str | None
) -> None:
    seen: list[tuple[str, str | None]] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers["Authorization"]))
            tags = [{"key": "nearline.moved_by", "value": "ada"}]
            found = {"version": "7", "run_id": "r", "description": "warm", "tags": tags}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"model_version": found}).encode())

        def log_message(self, *_: object) -> None:
            pass

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        settings = Settings(home=tmp_path, mlflow_uri=f"http://{login}127.0.0.1:{server.server_port}/below/")
        found = champion_alias.champion(settings)
    assert found == champion_alias.Champion(7, "r", "ada", "warm", has_note=True)
    path = "/below/api/2.0/mlflow/registered-models/alias?name=nearline-interest&alias=champion"
    assert seen == [(path, header)]


def test_a_server_that_is_down_is_named_without_its_password(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, mlflow_uri="http://user:secret@127.0.0.1:9")
    with pytest.raises(StackError, match="NEARLINE_MLFLOW_URI") as failure:
        mlflow_server.connect(settings)
    assert "secret" not in str(failure.value)
    with pytest.raises(StackError, match="make up"):
        mlflow_server.connect(replace(settings, mlflow_uri=None, mlflow_port=9))


def test_mlflows_model_reads_words_of_nothing_as_none(tmp_path: Path) -> None:
    served = InterestPyfunc()
    served.model = tiny_model(tmp_path / "encoder")
    at = "2026-01-01T00:00:00+00:00"
    said = {"kind": "comment", "occurred_at": at, "item_id": "a", "item_text": "hat"}
    plain, blank, red = (served._history(json.dumps([{**said, "text": text}])).vectors for text in (None, " \t", "red"))
    np.testing.assert_array_equal(blank, plain)
    assert not np.array_equal(red, plain)
    assert not len(served._history(json.dumps([{"kind": "search", "occurred_at": at, "text": "  "}])).kinds)
    search = {"kind": "search", "occurred_at": at, "text": "red"}
    odd = [{**search, "text": None}, {**search, "kind": ["a"]}, {**said, "item_id": 5}, {**said, "item_text": 5}, "red"]
    for rows in (None, float("nan"), "{}", "[" * 100_000, *(json.dumps([event]) for event in odd)):
        with pytest.raises(InputError, match="expected a JSON array of objects"):
            served._history(rows)
