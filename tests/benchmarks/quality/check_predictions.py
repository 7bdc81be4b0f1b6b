"""Have another evaluator, ir-measures (trec_eval), compute the figures again from predictions.parquet.

Exits with 1 where NDCG@10, HR@10 or MRR of any model in any stratum differs from report.json by more than 1e-6. Needs
ir-measures and pyarrow (peers/requirements.txt), and nothing of Nearline.

.venv-peers/bin/python tests/benchmarks/quality/check_predictions.py FOLDER
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np
import pyarrow.parquet as pq
from ir_measures import RR, Success, nDCG

MEASURES = {"ndcg": nDCG @ 10, "hr": Success @ 10, "mrr": RR}
TOLERANCE = 1e-6


def main(argv: list[str] | None = None) -> int:
    """Compare; 1 where anything differs, or nothing could be compared."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with predictions.parquet and report.json")
    folder: Path = parser.parse_args(argv).folder
    strata: dict[str, Any] = json.loads((folder / "report.json").read_text())["strata"]
    compared, worst, wrong = 0, 0.0, []
    for stratum, model, found in _figures(folder / "predictions.parquet", strata):
        for metric, value in found.items():
            ours = strata[stratum]["models"][model][metric]["value"]
            compared, worst = compared + 1, max(worst, abs(ours - value))
            if not abs(ours - value) <= TOLERANCE:
                wrong.append(f"{stratum} {model} {metric}: {ours} in report.json, {value} by ir-measures")
    print("\n".join(wrong), file=sys.stderr)
    print(
        json.dumps(
            {
                "evaluator": f"ir-measures {version('ir-measures')}",
                "compared": compared,
                "different": len(wrong),
                "largest_difference": worst,
            }
        )
    )
    return int(bool(wrong) or not compared)


def _figures(path: Path, strata: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, float]]]:
    about = pq.read_table(path, columns=["target", "kind", "warm", "cold", "new_user"])
    targets = about["target"].to_pylist()
    kinds = np.array(about["kind"].to_pylist())
    warm, cold, new = (about[name].to_numpy() for name in ("warm", "cold", "new_user"))
    rows = {"all": np.ones(len(targets), bool), "warm": warm, "cold": cold, "new_users": new & warm}
    rows |= {"new_users_full": new, **{f"kind.{kind}": kinds == kind for kind in set(kinds.tolist())}}
    models = next(iter(strata.values()))["models"]
    for model in models:
        for candidates, suffix in (("catalogue", ""), ("trained", "_warm")):
            wanted = [name for name, found in strata.items() if found["candidates"] == candidates and found["count"]]
            gains = _gains(path, f"{model}{suffix}", targets)
            for stratum in wanted:
                yield stratum, model, {metric: float(gain[rows[stratum]].mean()) for metric, gain in gains.items()}


def _gains(path: Path, column: str, targets: list[str]) -> dict[str, np.ndarray]:
    """Each measure of each row; 0 where a row has no list."""
    table = pq.read_table(path, columns=[f"{column}_items", f"{column}_scores"])
    lists = zip(table[f"{column}_items"].to_pylist(), table[f"{column}_scores"].to_pylist(), strict=True)
    run = {str(row): dict(zip(items, scores, strict=True)) for row, (items, scores) in enumerate(lists) if items}
    qrels = {str(row): {target: 1} for row, target in enumerate(targets)}
    gains = {metric: np.zeros(len(targets)) for metric in MEASURES}
    metric_of = {measure: metric for metric, measure in MEASURES.items()}
    for found in ir_measures.iter_calc(list(MEASURES.values()), qrels, run):
        gains[metric_of[found.measure]][int(found.query_id)] = found.value
    return gains


if __name__ == "__main__":
    sys.exit(main())
