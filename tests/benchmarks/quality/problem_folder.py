"""The problem as files: all that a model may see, and nothing of what the test asks for.

problem.json      counts, cuts, seed, and the digest that scores are kept by
train.npz         user, item, time, weight, first, inner: events with items, by person and time
text_vectors.npy  float32 (items, width), of the frozen text model
validation.npz    indptr, items, times, weights: histories, oldest first; user, at, target
test.npz          the same without target
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from benchmarks.quality.data import QualityData
from benchmarks.quality.problem import Problem
from nearline.models.evaluation import Window

FORMAT = 1
"""Part of the digest: raise it when what is written means something else, so that no old scores are taken."""


def write_problem(problem: Problem, data: QualityData, text_vectors: np.ndarray, folder: Path) -> str:
    """Write all files into ``folder`` and return the problem's digest.

    Parameters
    ----------
    text_vectors
        float32 (items, width) in the order of ``data.item_ids``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ledger = problem.ledger
    facts = {
        "protocol": problem.protocol,
        "data": data.digest,
        "timed": data.timed,
        "items": len(ledger.items),
        "users": len(ledger.users),
        "cut": problem.cut,
        "inner_cut": problem.inner_cut,
        "seed": problem.seed,
        "trained_until": float(ledger.time[problem.full].max()),
        "trained_items": int(problem.trained.sum()),
        "validation_rows": len(problem.validation),
        "test_rows": len(problem.test),
        "format": FORMAT,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    rows = np.flatnonzero(problem.full & (ledger.item >= 0))
    np.savez(
        folder / "train.npz",
        user=ledger.user[rows],
        item=ledger.item[rows],
        time=ledger.time[rows],
        weight=ledger.weight[rows],
        first=problem.first[rows],
        inner=problem.inner[rows],
    )
    np.savez(folder / "validation.npz", **_questions(problem.validation), target=problem.validation.targets)
    np.savez(folder / "test.npz", **_questions(problem.test))
    np.save(folder / "text_vectors.npy", text_vectors.astype(np.float32, copy=False))
    (folder / "problem.json").write_text(json.dumps(facts | {"digest": digest}, indent=1))
    (folder / "scores").mkdir(exist_ok=True)
    return digest


def _questions(window: Window) -> dict[str, np.ndarray]:
    """Histories without searches, as the rows of a sparse matrix."""
    ledger = window.ledger
    histories = [np.zeros(0, np.int64)]
    for start, end in zip(window.start, window.end, strict=True):
        histories.append(start + np.flatnonzero(ledger.item[start:end] >= 0))
    rows = np.concatenate(histories)
    return {
        "indptr": np.cumsum([len(history) for history in histories]),
        "items": ledger.item[rows],
        "times": ledger.time[rows],
        "weights": ledger.weight[rows],
        "user": ledger.user[window.rows],
        "at": ledger.time[window.rows],
    }
