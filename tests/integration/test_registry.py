"""MLflow with a SQLite store: one run for a day, a registered version, its alias, and the pyfunc elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny_models
from nearline.adapters import mlflow_registry
from nearline.adapters.mlflow_registry import TrainingRun
from nearline.core.behaviour import History
from nearline.core.interest import LATENT
from nearline.errors import ModelError, StackError
from nearline.models.behaviour_model import BehaviourConfig, BehaviourModel
from nearline.models.interest_model import InterestModel
from nearline.models.text_model import TextModel
from nearline.settings import Settings

LOAD = """
import json, sys, mlflow, pandas
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/nearline-interest@champion")
events = json.dumps([{"kind": "search", "text": "hiking tent", "occurred_at": "2026-01-01T00:00:00+00:00"}])
found = model.predict(pandas.DataFrame({"user_id": ["u1"], "events": [events]}))
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


def test_a_day_in_the_registry(registry: Settings, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "encoder")
    model.save(tmp_path / "model")
    assert mlflow_registry.champion_version(registry) is None

    run = TrainingRun.named(registry, "day-1")
    assert TrainingRun.named(registry, "day-1").run_id == run.run_id
    run.log_parameters({"seed": 7})
    run.log_parameters({"seed": 8})  # a job that is tried again
    run.log_metrics({"loss": 2.0}, 0)
    run.log_metrics({"loss": 1.0}, 1)
    run.log_dict({"accepted": True}, "judgement.json")

    version = run.register(registry.model, tmp_path / "model", {"nearline.run": "day-1"})
    assert run.register(registry.model, tmp_path / "model", {}) == version
    run.finish()
    data = run.client.get_run(run.run_id).data
    assert data.params["seed"] == "7"
    assert [point.value for point in run.client.get_metric_history(run.run_id, "loss")] == [2.0, 1.0]

    mlflow_registry.move_alias(registry, version)
    assert mlflow_registry.champion_version(registry) == version
    folder = mlflow_registry.fetch_model(registry, version)
    assert folder == registry.models_folder / str(version)
    assert InterestModel.load(folder).notes == {"note": 1}
    assert [path.name for path in registry.models_folder.iterdir()] == [str(version)]

    clean = subprocess.run(
        [sys.executable, "-c", LOAD, str(registry.mlflow_uri)],
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
        mlflow_registry.fetch_model(registry, 99)

    other = replace(registry, model="acme-interest")  # another deployment with the same MLflow
    assert mlflow_registry.champion_version(other) is None
    assert TrainingRun.named(other, "day-1").run_id != run.run_id


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
        found = mlflow_registry.champion(settings)
    assert found == mlflow_registry.Champion(7, "r", "ada", "warm", has_note=True)
    path = "/below/api/2.0/mlflow/registered-models/alias?name=nearline-interest&alias=champion"
    assert seen == [(path, header)]


def test_a_server_that_is_down_is_named_without_its_password(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, mlflow_uri="http://user:secret@127.0.0.1:9")
    with pytest.raises(StackError, match="NEARLINE_MLFLOW_URI") as failure:
        mlflow_registry.connect(settings)
    assert "secret" not in str(failure.value)
    with pytest.raises(StackError, match="make up"):
        mlflow_registry.connect(replace(settings, mlflow_uri=None, mlflow_port=9))
