"""Nearline's own model on a problem: trained as the daily DAG trains it, less Spark, Postgres and MLflow's server."""

from __future__ import annotations

import json
import logging
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.data import QualityData
from benchmarks.quality.freshness import freshness
from benchmarks.quality.problem import Problem
from benchmarks.quality.text_pairs import item_pairs, query_pairs
from nearline.core.blend import blend, standard_scores
from nearline.core.transitions import FADINGS, Transitions, transition_table
from nearline.core.trends import trends_of
from nearline.models.evaluation import interests_of, transition_view
from nearline.models.interest_model import InterestModel
from nearline.models.judgement import Test
from nearline.models.kept_vectors import kept_vectors
from nearline.models.text_model import TextModel, text_model_folder, use_threads
from nearline.models.training import train_interest_model
from nearline.models.training_data import TrainingData, text_pairs
from nearline.settings import Settings
from nearline.training_plan import training_plan

log = logging.getLogger("nearline.quality")


def score(data: QualityData, problem: Problem, folder: Path) -> None:
    """Train on the problem, score its test rows into scores/nearline.npy, float32 (rows, items), and .json."""
    use_threads()
    began = time.monotonic()
    figures: list[dict[str, float]] = []
    keep = folder / "nearline"
    settings = replace(Settings.from_env(), seed=problem.seed)
    plan = training_plan(settings)
    model = train_interest_model(
        training_data(data, problem),
        plan,
        TextModel.load(text_model_folder(settings.text_model)),
        lambda found, step: figures.append({**found, "step": step}),
        keep,
    )
    trained = time.monotonic() - began
    table = transition_table(problem.ledger.only(problem.full), float(model.notes["fading"]))
    model.save(keep / "model")
    save_transitions(table, keep / "transitions.npz")
    test = Test(problem.test, problem.cut, problem.trained, problem.full)
    scores = folder / "scores"
    scores.mkdir(exist_ok=True)
    items, queries = vectors(test, data, model, keep)
    write_scores(test, model, table, items, queries, scores / "nearline.npy")
    curves = freshness(problem.test, problem.trained, model, table, items, queries, problem.seed)
    facts = {
        "settings": {**model.notes, **plan.named()},
        "tried": figures,
        "validation_ndcg": max((found.get("validation_blend_ndcg", 0.0) for found in figures), default=0.0),
        "seconds": trained,
        "freshness": curves,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    (scores / "nearline.json").write_text(json.dumps(facts, indent=1, default=float))


def training_data(data: QualityData, problem: Problem) -> TrainingData:
    """What the daily training gets, of this problem."""
    inner = problem.ledger.only(problem.inner)
    tables = {fading: transition_table(inner, fading) for fading in FADINGS}
    return TrainingData(
        item_ids=data.item_ids,
        texts=data.texts,
        ledger=problem.ledger,
        inner=problem.inner,
        past=problem.full,
        inner_end=problem.inner_cut,
        end=problem.cut,
        validation=problem.validation.rows,
        pairs=text_pairs(data.item_ids, data.texts, item_pairs(tables[0.0], data.item_ids), query_pairs(inner)),
        inner_transitions=tables,
        digest=f"{data.digest} {problem.protocol} {problem.seed}",
    )


def vectors(test: Test, data: QualityData, model: InterestModel, keep: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of items, as they do at the cut, and of queries, float32 (n, DIM) each."""
    ledger = test.window.ledger
    said = kept_vectors([*data.texts, *ledger.queries], model.text_vectors, keep / "text_vectors")
    trends = trends_of(ledger.only(test.past), test.cut)
    items = model.place_items(data.item_ids, said[: len(data.texts)], trends)
    return items, model.place_queries(said[len(data.texts) :])


def write_scores(
    test: Test, model: InterestModel, table: Transitions, items: np.ndarray, queries: np.ndarray, path: Path
) -> None:
    """Score as it is served, a batch of people at a time; complete, or not at all."""
    draft = path.with_name(f".{path.name}")
    shape = (len(test.window), len(items))
    scores = np.lib.format.open_memmap(draft, mode="w+", dtype=np.float32, shape=shape)
    row = 0
    for part in test.batches():
        z = standard_scores(interests_of(model, part, items, queries), items)
        scores[row : row + len(part)] = blend(z, transition_view(part, table), model.transition_weight)
        row += len(part)
    scores.flush()
    draft.replace(path)


def save_transitions(table: Transitions, path: Path) -> None:
    """Keep the table beside the model, for those who ask more of both."""
    arrays: dict[str, Any] = {"item": table.item, "next_item": table.next_item, "weight": table.weight}
    np.savez(path, **arrays)
