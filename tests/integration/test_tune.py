"""The job: from a run's snapshot to nested runs in MLflow and a line to set."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import tiny_models
import tune
from nearline.errors import InputError
from nearline.run_folder import RunFolder
from nearline.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # one thread: so small a model waits longer for a second
    monkeypatch.chdir(tmp_path)  # a store without a server puts its artifacts below the working folder
    values = {
        "NEARLINE_HOME": str(tmp_path / "home"),
        "NEARLINE_MLFLOW_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "NEARLINE_EPOCHS": "2",
        "NEARLINE_HYPERPARAMETERS": '{"text.batch": 16}',
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return Settings.from_env()


def take_snapshot(run: RunFolder) -> None:
    """What take_snapshot and finetune leave, of the tiny world."""
    ledger, (ids, texts) = tiny_models.small_world(), tiny_models.catalogue()
    run.snapshot.mkdir(parents=True)
    plain = pa.nulls(len(ids), pa.string())
    items = {
        "item_id": ids,
        "title": texts,
        "description": plain,
        "kind": plain,
        "attributes": plain,
        "language": plain,
    }
    pq.write_table(pa.table(items), run.snapshot / "items.parquet")
    rows = range(len(ledger))
    events = {
        "event_id": [f"e{row}" for row in rows],
        "user_id": [ledger.users[code] for code in ledger.user],
        "item_id": [ledger.items[code] if code >= 0 else None for code in ledger.item],
        "kind": [ledger.kinds[code] for code in ledger.kind],
        "text": [ledger.queries[code] if code >= 0 else None for code in ledger.query],
        "occurred_at": pa.array((ledger.time * 1e6).astype("int64"), pa.timestamp("us", tz="UTC")),
    }
    pq.write_table(pa.table(events), run.snapshot / "events.parquet")
    facts = {
        "kinds": tiny_models.KINDS,
        "digest": "d",
        "cut_time": 20 * tiny_models.DAY,
        "inner_cut_time": 16 * tiny_models.DAY,
    }
    (run.snapshot / "snapshot.json").write_text(json.dumps(facts))
    tiny_models.tiny_encoder(run.model / "text")


def test_a_search_is_told_to_mlflow_and_to_a_person(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    import mlflow

    torch.set_num_threads(1)
    with pytest.raises(InputError, match="have Airflow run daily_training"):
        tune.main(["--trials", "2"])
    run = RunFolder(settings, "day-1")
    take_snapshot(run)
    assert tune.main(["--trials", "3"]) == 0
    assert (run.path / "text_vectors" / "vectors.npy").exists()

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
