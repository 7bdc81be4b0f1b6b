"""The training of one daily run: from its Parquet files to its model folder. Runs in TorchDistributor's process."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from pathlib import Path

import pyarrow.parquet as pq

from nearline.adapters.mlflow_registry import TrainingRun
from nearline.adapters.snapshot import read_pairs, read_snapshot, read_transitions
from nearline.models.behaviour_training import BehaviourTraining
from nearline.models.interest_model import InterestModel
from nearline.models.text_model import TextModel, text_model_folder, use_threads
from nearline.models.text_training import TextTraining
from nearline.models.training import TrainingData, TrainingPlan, text_pairs, train_interest_model
from nearline.run_folder import RunFolder
from nearline.settings import Settings

log = logging.getLogger("nearline.training")


def train_run(settings: Settings, name: str, champion_folder: str | None) -> None:
    """Train the candidate of run ``name``; start from the champion where that leaks nothing into the judgement."""
    use_threads()
    run = RunFolder(settings, name)
    tracked = TrainingRun.named(settings, name)
    snapshot = read_snapshot(run.snapshot)
    data = TrainingData(
        item_ids=snapshot.item_ids,
        texts=snapshot.texts,
        ledger=snapshot.ledger,
        cut=snapshot.cut,
        inner_cut=snapshot.inner_cut,
        pairs=text_pairs(
            snapshot.item_ids,
            snapshot.texts,
            read_pairs(run.pairs / "item_pairs.parquet", "left_id"),
            read_pairs(run.pairs / "query_pairs.parquet", "query"),
        ),
        inner_transitions=read_transitions(run.pairs / "inner_transitions.parquet", snapshot.item_ids),
    )
    plan = TrainingPlan(
        text=TextTraining(steps=settings.text_steps, seed=settings.seed),
        behaviour=BehaviourTraining(epochs=settings.epochs, seed=settings.seed),
        history_length=settings.history_length,
    )
    champion = InterestModel.load(champion_folder) if champion_folder else None
    if champion and champion.notes.get("trained_until", float("inf")) > data.cut:
        log.info("the champion has seen events of the window to be judged on: starting afresh")
        champion = None
    tracked.log_parameters(
        {f"text.{key}": value for key, value in dataclasses.asdict(plan.text).items()}
        | {f"behaviour.{key}": value for key, value in dataclasses.asdict(plan.behaviour).items()}
        | {"text.model": settings.text_model, "text.pairs": len(data.pairs), "warm_start": champion is not None}
    )
    text_model = champion.text if champion else TextModel.load(text_model_folder(settings.text_model))
    log.info("%d items, %d events, %d pairs of texts", len(data.item_ids), len(data.ledger), len(data.pairs))
    # Text vectors of an earlier try belong to another text model.
    shutil.rmtree(text_vectors_folder(run), ignore_errors=True)
    model = train_interest_model(data, plan, text_model, tracked.log_metrics, text_vectors_folder(run), champion)
    model.notes["digest"] = snapshot.facts["digest"]
    save_candidate(model, run)


def text_vectors_folder(run: RunFolder) -> Path:
    """Where a run keeps the vectors that its own text model gave."""
    return run.path / "text_vectors"


def save_candidate(model: InterestModel, run: RunFolder) -> None:
    """Write the model folder with its transitions, in one rename."""
    draft = run.path / "model.draft"
    model.save(draft)
    pq.write_table(pq.read_table(run.pairs / "transitions.parquet"), draft / "transitions.parquet")
    shutil.rmtree(run.model, ignore_errors=True)
    Path(draft).rename(run.model)
