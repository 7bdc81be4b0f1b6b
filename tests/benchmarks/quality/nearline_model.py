"""Nearline's own model on a problem: trained as the daily DAG trains it, less Spark, Postgres and MLflow's server."""

from __future__ import annotations

import json
import logging
import resource
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.quality.data import QualityData
from benchmarks.quality.freshness import freshness
from benchmarks.quality.problem import Problem
from benchmarks.quality.text_pairs import item_pairs, query_pairs
from nearline.adapters.code_identity import code_identity
from nearline.core.transitions import PLAIN, READINGS, transition_table
from nearline.models.judgement import Test
from nearline.models.kept_vectors import kept_vectors
from nearline.models.text_model import TextModel, text_model_folder, use_threads
from nearline.models.training import train_interest_model
from nearline.models.training_data import TrainingData, text_pairs
from nearline.settings import Settings
from nearline.training_plan import training_plan

log = logging.getLogger("nearline.quality")


def score(data: QualityData, problem: Problem, folder: Path, name: str, seed: int) -> None:
    """Train on the problem, score its test rows into scores/<name>.npy, float32 (rows, items), and .json."""
    use_threads()
    began = time.monotonic()
    figures: list[dict[str, float]] = []
    keep = folder / name
    settings = replace(Settings.from_env(), seed=seed)
    plan = training_plan(settings)
    model = train_interest_model(
        training_data(data, problem),
        plan,
        TextModel.load(text_model_folder(settings.text_model)),
        lambda found, step: figures.append({**found, "step": step}),
        keep,
    )
    trained = time.monotonic() - began
    table = transition_table(problem.ledger.only(problem.full), model.reading)
    test = Test(problem.test, problem.cut, problem.trained, problem.full)
    scores = folder / "scores"
    scores.mkdir(exist_ok=True)
    said = kept_vectors([*data.texts, *data.ledger.queries], model.text_vectors, keep / "text_vectors")
    texts = said[: len(data.texts)], said[len(data.texts) :]
    shape = (len(test.window), len(data.item_ids))
    write_scores(test.served_scores(model, *texts, table), shape, scores / f"{name}.npy")
    items, queries = test.vectors(model, *texts)
    curves = freshness(problem.test, problem.trained, model, table, items, queries, problem.seed, timed=data.timed)
    facts = {
        "settings": {**model.notes, **plan.named(), "text_model": settings.text_model},
        "tried": figures,
        "validation_ndcg": max((found.get("validation_blend_ndcg", 0.0) for found in figures), default=0.0),
        "seconds": trained,
        "freshness": curves,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    (scores / f"{name}.json").write_text(json.dumps(facts, indent=1, default=float))


def training_data(data: QualityData, problem: Problem) -> TrainingData:
    """What the daily training gets, of this problem."""
    inner = problem.ledger.only(problem.inner)
    tables = {reading: transition_table(inner, reading) for reading in READINGS}
    return TrainingData(
        item_ids=data.item_ids,
        texts=data.texts,
        ledger=problem.ledger,
        inner=problem.inner,
        past=problem.full,
        inner_end=problem.inner_cut,
        end=problem.cut,
        validation=problem.validation.rows,
        pairs=text_pairs(data.item_ids, data.texts, item_pairs(tables[PLAIN], data.item_ids), query_pairs(inner)),
        inner_transitions=tables,
        # Other code, and a killed training would not go on to the same model.
        digest=f"{data.digest} {problem.protocol} {problem.seed} {code_identity()['digest']}",
    )


def write_scores(found: Iterable[np.ndarray], shape: tuple[int, int], path: Path) -> None:
    """Write batches of scores, float32 of ``shape`` (rows, items) together; complete, or not at all."""
    draft = path.with_name(f".{path.name}")
    scores = np.lib.format.open_memmap(draft, mode="w+", dtype=np.float32, shape=shape)
    row = 0
    for part in found:
        scores[row : row + len(part)] = part
        row += len(part)
    scores.flush()
    draft.replace(path)
