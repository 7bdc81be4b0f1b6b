"""predictions.parquet: what each model said, for evaluators that are not ours.

One row a test event: row, user_id, occurred_at (or position, where the data know only an order), target, kind, warm,
cold, new_user; and for each model

<model>_items, <model>_scores            its 100 best of the catalogue less what the person has met, best first
<model>_warm_items, <model>_warm_scores  its 100 best of the training items, null where the target is none of them

Scores are the model's, and fall strictly: of equal ones each is lowered by the least that float32 can tell, the
target's last. An evaluator that sorts by score gets our ranks, and needs no rule for ties. It gets `warm` and
`new_users` from the warm lists of the rows with warm (and new_user), and all other strata from the others.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.quality.data import QualityData
from benchmarks.quality.problem import Candidates, Problem
from benchmarks.quality.ranked import NO_ITEM
from benchmarks.quality.report import Judged

SUFFIXES: dict[Candidates, str] = {"catalogue": "", "trained": "_warm"}
LEAST_STEP = np.float32(1e-30)
"""Of scores at zero: smaller steps are subnormal numbers, which some processors take for zero."""


def write_predictions(problem: Problem, data: QualityData, judged: Judged, path: Path) -> None:
    """Write the lists of all models to ``path``."""
    ledger, rows = problem.ledger, problem.test.rows
    strata = problem.strata
    users = np.array(ledger.users, dtype=object)
    names = pa.array(data.item_ids, pa.string())
    columns: dict[str, pa.Array] = {
        "row": pa.array(np.arange(len(rows), dtype=np.int32)),
        "user_id": pa.array(users[ledger.user[rows]], pa.string()),
        "target": names.take(pa.array(problem.test.targets)),
        "kind": pa.array([ledger.kinds[kind] for kind in ledger.kind[rows]], pa.string()),
        "warm": pa.array(strata["warm"].rows),
        "cold": pa.array(strata["cold"].rows),
        "new_user": pa.array(strata["new_users_full"].rows),
    }
    if data.timed:
        micros = np.rint(ledger.time[rows] * 1e6).astype(np.int64)
        columns["occurred_at"] = pa.array(micros).cast(pa.timestamp("us", tz="UTC"))
    else:
        columns["position"] = pa.array(ledger.time[rows])
    for model, found in judged.items():
        for candidates, suffix in SUFFIXES.items():
            ranked = found[candidates]
            kept = ranked.items != NO_ITEM
            offsets = pa.array(np.append(0, np.cumsum(kept.sum(axis=1))).astype(np.int32))
            missing = None if candidates == "catalogue" else pa.array(~strata["warm"].rows)
            # Codes, not names: the file's own dictionary then costs nothing to make.
            items = pa.DictionaryArray.from_arrays(pa.array(ranked.items[kept]), names)
            scores = pa.array(falling(ranked.scores)[kept])
            columns[f"{model}{suffix}_items"] = pa.ListArray.from_arrays(offsets, items, mask=missing)
            columns[f"{model}{suffix}_scores"] = pa.ListArray.from_arrays(offsets, scores, mask=missing)
    draft = path.with_name(f".{path.name}")
    pq.write_table(pa.table(columns), draft, compression="zstd")
    draft.replace(path)


def falling(scores: np.ndarray) -> np.ndarray:
    """Scores (n, k), best first, made to fall strictly, float32; NaN stays behind the end of a list.

    >>> falling(np.float32([[2.0, 1.0, 1.0, 0.5]])).tolist()
    [[2.0, 1.0, 0.9999998807907104, 0.5]]
    """
    # No number and minus infinity are lowest: a finite stand-in below everything real leaves room for steps.
    gone = np.isnan(scores)
    lowest = np.float32(np.finfo(np.float32).min / 2)
    fallen = np.clip(np.where(gone, lowest, scores), lowest, np.float32(np.finfo(np.float32).max)).astype(np.float32)
    for place in range(1, fallen.shape[1]):
        before = fallen[:, place - 1]
        below = before - np.maximum(np.spacing(np.abs(before)), LEAST_STEP)
        fallen[:, place] = np.minimum(fallen[:, place], below)
    return np.where(gone, np.float32(np.nan), fallen)
