"""The training of one daily run: from its Parquet files to its model folder. Runs in TorchDistributor's process."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pyarrow.parquet as pq

from nearline.adapters.code_identity import code_identity
from nearline.adapters.snapshot import read_pairs, read_snapshot, read_transitions, rows_of
from nearline.adapters.training_figures import TrainingFigures
from nearline.adapters.training_run import TrainingRun
from nearline.core.split import window_rows
from nearline.core.transitions import READINGS
from nearline.errors import ModelError
from nearline.models.checkpoint import weights_digest
from nearline.models.interest_model import InterestModel
from nearline.models.process_group import is_first, process_count, wait_for_all
from nearline.models.text_model import TextModel, text_model_folder, use_threads
from nearline.models.training import shape_of, train_interest_model, why_afresh
from nearline.models.training_data import VALIDATION_ROWS, TrainingData, text_pairs
from nearline.run_folder import RunFolder
from nearline.settings import Settings
from nearline.training_plan import training_plan

log = logging.getLogger("nearline.training")


def train_run(settings: Settings, name: str, champion_folder: str | None) -> None:
    """Train the candidate of run ``name``; start from the champion where that leaks nothing into the judgement.

    Of several processes only the first reports and saves; all return when it has.
    """
    use_threads(settings.threads)
    run, code = RunFolder(settings, name), code_identity()
    snapshot = read_snapshot(run.snapshot)
    data = TrainingData(
        item_ids=snapshot.item_ids,
        texts=snapshot.texts,
        ledger=snapshot.ledger,
        inner=snapshot.ledger.time < snapshot.inner_cut,
        past=snapshot.ledger.time < snapshot.cut,
        inner_end=snapshot.inner_cut,
        end=snapshot.cut,
        validation=window_rows(snapshot.ledger, snapshot.inner_cut, snapshot.cut, VALIDATION_ROWS, settings.seed),
        pairs=text_pairs(
            snapshot.item_ids,
            snapshot.texts,
            read_pairs(run.pairs / "item_pairs.parquet", "left_id"),
            read_pairs(run.pairs / "query_pairs.parquet", "query"),
        ),
        inner_transitions={
            reading: read_transitions(run.pairs / "inner_transitions.parquet", snapshot.item_ids, reading)
            for reading in READINGS
        },
        digest=f"{snapshot.facts['digest']} {code['digest']}",  # other code would not go on to the same model
    )
    plan = training_plan(settings)
    champion = start_from(champion_folder, settings.text_model, data.inner_end)
    facts = {f"data.{name}": snapshot.facts[name] for name in ("items", "events", "digest", "cut_time")}
    facts |= {f"code.{name}": value for name, value in code.items()}
    facts |= {"text.model": settings.text_model, "text.pairs": len(data.pairs)}
    goes_on = champion is not None and not why_afresh(champion, shape_of(data, plan, champion.text.width), data)
    facts |= {"warm_start.text": champion is not None, "warm_start.behaviour": goes_on}
    facts |= plan.named() | {"processes": process_count()}
    tracked = TrainingFigures(TrainingRun.of_training(settings, name, facts)) if is_first() else None
    text_model = champion.text if champion else TextModel.load(text_model_folder(settings.text_model))
    log.info("%d items, %d events, %d pairs of texts", len(data.item_ids), len(data.ledger), len(data.pairs))
    report = tracked.log if tracked else lambda figures, step: None
    model = train_interest_model(data, plan, text_model, report, run.path, champion)
    model.notes |= {"digest": snapshot.facts["digest"], "text_model": settings.text_model}
    if is_first():
        save_candidate(model, run)
    wait_for_all()


def start_from(folder: str | None, encoder: str, inner_end: float) -> InterestModel | None:
    """Load the start that the champion left, if it is one for this day: it can be read, began with that encoder and saw
    nothing of the validation window.

    Parameters
    ----------
    encoder
        What NEARLINE_TEXT_MODEL says now.
    inner_end
        Seconds since 1970: the window that choices are made on begins there.
    """
    try:
        champion = InterestModel.load_start(folder) if folder else None
    except ModelError as problem:  # of an older format, perhaps
        log.warning("starting afresh, as the champion cannot be read: %s", problem)
        return None
    if champion is None:
        return None
    if (begun := champion.notes.get("text_model")) != encoder:
        log.info("starting afresh from the encoder %s: the champion began with %s", encoder, begun or "one not noted")
        return None
    if champion.trained_until > inner_end:
        log.info("starting afresh, as the champion has seen events of the window that choices are made on")
        return None
    return champion


def untuned_vectors_folder(settings: Settings, encoder: TextModel) -> Path:
    """Where the vectors are kept that an encoder gives before any fine-tuning: by its weights, as names are reused."""
    return settings.home / "text_vectors" / f"untuned-{weights_digest(encoder)[:16]}"


def text_vectors_folder(run: RunFolder) -> Path:
    """Where a run keeps the vectors that its own text model gave."""
    return run.path / "text_vectors"


def save_candidate(model: InterestModel, run: RunFolder) -> None:
    """Write the model folder with its transitions, those it is judged with and those to publish, in one rename."""
    draft = run.path / "model.draft"
    model.save(draft)
    for name in ("transitions.parquet", "newest_transitions.parquet"):
        kept = pq.read_table(run.pairs / name, filters=rows_of(model.reading))
        pq.write_table(kept.drop_columns(["fading", "near"]), draft / name)
    shutil.rmtree(run.model, ignore_errors=True)
    Path(draft).rename(run.model)
