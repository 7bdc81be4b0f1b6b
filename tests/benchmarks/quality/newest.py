"""What it brings that transitions are published up to the newest event, though the model is judged as of its cut.

A day before the window that bench-quality reports on: all that people did until then is at hand, the daily run trains
and judges on it, and is asked for what they meet from then on, up to that window. The model is the same both times,
trends are those of the day; only the transitions end at the model's cut, or on the day.

python tests/benchmarks/quality/newest.py --data folder
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

if not __package__:  # run, not imported
    sys.path[:1] = [str(Path(__file__).resolve().parents[2])]  # not this folder: its names are common ones

from benchmarks.quality import contestants
from benchmarks.quality.bootstrap import People
from benchmarks.quality.data import QualityData
from benchmarks.quality.nearline_model import training_data
from benchmarks.quality.problem import touched
from benchmarks.quality.protocol import HOLDOUT, successive
from nearline.core.ranking import gains
from nearline.core.split import window_rows
from nearline.core.transitions import Transitions, transition_table
from nearline.errors import InputError, run_job
from nearline.models.evaluation import Window
from nearline.models.judgement import Test
from nearline.models.kept_vectors import kept_vectors
from nearline.models.text_model import TextModel, text_model_folder, use_threads
from nearline.models.training import train_interest_model
from nearline.settings import Settings
from nearline.training_plan import training_plan

ASKED = 0.05
"""Share of all events that come after the day, up to the window that bench-quality reports on."""
ROWS, SEED = 3000, 7


def main(argv: list[str] | None = None) -> int:
    """Print one JSON object a part of the rows, and write them all to newest.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="default: bench/quality/<data>/newest.json in NEARLINE_HOME")
    wanted = parser.parse_args(argv)
    logging.getLogger().handlers[:] = []
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    use_threads()
    settings = Settings.from_env()
    data = QualityData.load(wanted.data)
    if not data.timed:
        raise InputError(f"{wanted.data}: expected events with occurred_at, saw an order alone. Fix: use timed data.")
    day, end = (float(np.quantile(data.ledger.time, 1.0 - HOLDOUT - share)) for share in (ASKED, 0.0))
    until_then = replace(data, ledger=data.ledger.before(day))
    rows = window_rows(data.ledger.before(end), day, end, ROWS, SEED)
    if not len(rows):
        raise InputError(f"{wanted.data}: expected people who meet items after the day, saw none. Fix: use more data.")
    cut, found = judge(data, until_then, day, rows, settings)
    report: dict[str, Any] = {
        "data": {"name": data.name, "digest": data.digest},
        "code": contestants.code(),
        "settings": {**training_plan(settings).named(), "text_model": settings.text_model},
        "days_from_cut_to_day": round((day - cut) / 86400.0, 1),
        "rows": list(parts(data, rows, cut, day, *found)),
    }
    for row in report["rows"]:
        print(json.dumps(row), flush=True)
    out = wanted.out or settings.bench_folder / "quality" / data.name / "newest.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=1))
    return 0


def judge(
    data: QualityData, until_then: QualityData, day: float, rows: np.ndarray, settings: Settings
) -> tuple[float, tuple[np.ndarray, np.ndarray]]:
    """The cut of the day's model; NDCG@10 of each row by transitions up to the cut, and up to the day."""
    problem = successive(until_then.ledger)
    text = TextModel.load(text_model_folder(settings.text_model))
    with tempfile.TemporaryDirectory(prefix="nearline-newest-") as keep:
        training = training_data(until_then, problem)
        model = train_interest_model(training, training_plan(settings), text, lambda found, step: None, Path(keep))
        texts = kept_vectors([*data.texts, *data.ledger.queries], model.text_vectors, Path(keep) / "text_vectors")
    past = data.ledger.time < day
    test = Test(Window.of(data.ledger, rows), day, touched(data.ledger, past), past)

    def served(table: Transitions) -> np.ndarray:
        count = len(data.texts)
        return gains(test.ranks(test.served_scores(model, texts[:count], texts[count:], table)))

    ends = (problem.cut, day)
    judged, newest = (transition_table(data.ledger.before(end), model.reading) for end in ends)
    return problem.cut, (served(judged), served(newest))


def parts(
    data: QualityData, rows: np.ndarray, cut: float, day: float, judged: np.ndarray, newest: np.ndarray
) -> Iterator[dict[str, Any]]:
    """Means and their paired difference: all rows, and by when somebody first met the target."""
    ledger = data.ledger
    learnt, met = (touched(ledger, ledger.time < end)[ledger.item[rows]] for end in (cut, day))
    chosen = {"all": np.ones_like(met), "met_before_the_cut": learnt, "met_since": met & ~learnt, "met_later": ~met}
    for name, some in chosen.items():
        if some.any():
            difference = People(ledger.user[rows[some]]).mean((newest - judged)[some])
            yield {
                "targets": name,
                "count": int(some.sum()),
                "ndcg_up_to_the_cut": round(float(judged[some].mean()), 5),
                "ndcg_up_to_the_day": round(float(newest[some].mean()), 5),
                "difference": difference.as_dict() if difference else None,
            }


if __name__ == "__main__":
    run_job(main)
