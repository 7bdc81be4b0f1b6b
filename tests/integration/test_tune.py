"""The job: from a run's snapshot to nested runs in MLflow and a line to set."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny_models
import tune
from nearline.errors import InputError
from nearline.models.text_model import TextModel
from nearline.run_folder import RunFolder
from nearline.settings import Settings
from tiny_run import take_snapshot


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # one thread: so small a model waits longer for a second
    monkeypatch.chdir(tmp_path)  # a store without a server puts its artifacts below the working folder
    values = {
        "NEARLINE_HOME": str(tmp_path / "home"),
        "NEARLINE_MLFLOW_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "NEARLINE_EPOCHS": "2",
        "NEARLINE_HYPERPARAMETERS": '{"text.batch": 16}',
        "NEARLINE_TEXT_MODEL": str(tiny_models.tiny_encoder(tmp_path / "encoder")),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return Settings.from_env()


def test_a_search_is_told_to_mlflow_and_to_a_person(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    import mlflow

    torch.set_num_threads(1)
    with pytest.raises(InputError, match="have Airflow run daily_training"):
        tune.main(["--trials", "2"])
    run = RunFolder(settings, "day-1")
    take_snapshot(run, tiny_models.small_world(), 20 * tiny_models.DAY, 16 * tiny_models.DAY)
    assert tune.main(["--trials", "3"]) == 0
    [kept] = (settings.home / "text_vectors").iterdir()  # nothing that learnt from a window
    [vectors] = np.load(kept / "vectors.npy")[
        np.load(kept / "keys.npy") == hashlib.sha1(b"hiking").hexdigest().encode()
    ]
    np.testing.assert_allclose(vectors, TextModel.load(settings.text_model).encode(["hiking"])[0], atol=1e-6)

    mlflow.set_tracking_uri(settings.mlflow_uri)
    found = mlflow.search_runs(experiment_names=["nearline-tune"], output_format="list")
    children = [one for one in found if "mlflow.parentRunId" in one.data.tags]
    [parent] = [one for one in found if one not in children]
    assert {one.info.run_name for one in children} == {"as set now", "trial 1", "trial 2"}
    assert {one.data.tags["mlflow.parentRunId"] for one in children} == {parent.info.run_id}
    assert {one.info.status for one in found} == {"FINISHED"}
    [now] = [one for one in children if one.info.run_name == "as set now"]
    assert now.data.params["text.batch"] == "16"
    assert now.data.params["shape.block"] == "gpt2"
    assert {
        "validation_ndcg",
        "validation_ndcg.fold_3",
        "behaviour_loss.fold_1",
        "best_ndcg",
    } <= now.data.metrics.keys()
    figures = parent.data.metrics
    assert figures["present_ndcg"] == now.data.metrics["best_ndcg"]
    assert figures["best_ndcg"] == max(one.data.metrics["best_ndcg"] for one in children)
    assert figures["gain"] == pytest.approx(figures["best_ndcg"] - figures["present_ndcg"])
    said = capsys.readouterr().out
    if figures["gain"] > 0:
        [line] = re.findall(r"^NEARLINE_HYPERPARAMETERS='(.*)'$", said, re.MULTILINE)
        assert json.loads(line)["text.batch"] == 16  # what was set and not searched stays
        Settings.from_env({"NEARLINE_HYPERPARAMETERS": line})
    else:
        assert "leave it as it is" in said
