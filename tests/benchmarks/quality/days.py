"""What it saves, and what it costs, that a day's training begins with what the day before it left.

Days in a row, each 1% of all events, on what lies before the cut that bench-quality reports on. The first is trained
afresh, the others each from the one before. The last day is trained twice more: its behaviour model afresh, with the
texts read as they are by then, and all afresh. The three are judged as a daily run is, on that day's newest tenth.

python tests/benchmarks/quality/days.py --data folder --days 8
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

if not __package__:  # run, not imported
    sys.path[:1] = [str(Path(__file__).resolve().parents[2])]  # not this folder: its names are common ones

from benchmarks.quality import contestants
from benchmarks.quality.bootstrap import People
from benchmarks.quality.data import QualityData
from benchmarks.quality.nearline_model import training_data
from benchmarks.quality.protocol import HOLDOUT, successive
from nearline.core.ranking import gains
from nearline.core.transitions import transition_table
from nearline.errors import InputError, run_job
from nearline.models.interest_model import InterestModel
from nearline.models.judgement import Test
from nearline.models.kept_vectors import kept_vectors
from nearline.models.text_model import TextModel, text_model_folder, use_threads
from nearline.models.training import train_interest_model
from nearline.settings import Settings
from nearline.training_plan import training_plan

log = logging.getLogger("nearline.quality")
DAY = 0.01
"""Share of all events that come in a day."""


@dataclass(frozen=True)
class Trained:
    """A day's model, and how it came out.

    Attributes
    ----------
    gains
        NDCG@10 of each test row over the whole catalogue, 0 to 1.
    figures
        Means of it, over all rows, those with known and with new targets, and those of new people; what the training
        validated, and its seconds.
    """

    model: InterestModel
    user: np.ndarray
    gains: np.ndarray
    figures: dict[str, Any]


def train(data: QualityData, start: InterestModel | None, text: TextModel) -> Trained:
    """Train on a day's events and judge on its newest tenth; ``text`` is trained in place."""
    problem = successive(data.ledger)
    plan = training_plan(Settings.from_env())
    seen: dict[str, list[float]] = {"start_ndcg": [], "validation_ndcg": [], "validation_blend_ndcg": []}

    def report(figures: dict[str, float], step: int) -> None:
        for name in seen.keys() & figures:
            seen[name].append(round(figures[name], 5))

    with tempfile.TemporaryDirectory(prefix="nearline-days-") as keep:
        began = time.monotonic()
        model = train_interest_model(training_data(data, problem), plan, text, report, Path(keep), start)
        seconds = time.monotonic() - began
        read = kept_vectors([*data.texts, *data.ledger.queries], model.text_vectors, Path(keep) / "text_vectors")
    table = transition_table(problem.ledger.only(problem.full), model.reading)
    test = Test(problem.test, problem.cut, problem.trained, problem.full)
    found = gains(test.ranks(test.served_scores(model, read[: len(data.texts)], read[len(data.texts) :], table)))
    known, new = problem.trained[problem.test.targets], problem.test.is_new()
    strata = {"all": np.ones_like(known), "warm": known, "cold": ~known, "new_users": new}
    means = {name: round(float(found[rows].mean()), 5) if rows.any() else None for name, rows in strata.items()}
    made = {"passes": len(seen["validation_ndcg"]), "seconds": round(seconds), **seen}
    return Trained(model, data.ledger.user[problem.test.rows], found, means | made)


def main(argv: list[str] | None = None) -> int:
    """Print one JSON object a training, and write them all to days.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--days", type=int, default=8, help="2 to 20 (default: 8)")
    parser.add_argument("--out", type=Path, help="default: bench/quality/<data>/days.json in NEARLINE_HOME")
    wanted = parser.parse_args(argv)
    if not 2 <= wanted.days <= 20:
        raise InputError(f"--days: expected 2 to 20, saw {wanted.days}.")
    logging.getLogger().handlers[:] = []
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    use_threads()
    settings = Settings.from_env()
    data = QualityData.load(wanted.data)
    report: dict[str, Any] = {
        "data": {"name": data.name, "digest": data.digest},
        "code": contestants.code(),
        "settings": {**training_plan(settings).named(), "text_model": settings.text_model},
        "rows": [],
    }

    def tell(day: int, began: str, trained: Trained, **beside: Any) -> None:
        row = {"day": day, "start": began, **trained.figures, **beside}
        report["rows"].append(row)
        print(json.dumps(row), flush=True)

    encoder = text_model_folder(settings.text_model)
    text, start = TextModel.load(encoder), None
    with tempfile.TemporaryDirectory(prefix="nearline-days-") as before:
        for day in range(1, wanted.days + 1):
            until = np.quantile(data.ledger.time, 1.0 - HOLDOUT - DAY * (wanted.days - day))
            part = replace(data, ledger=data.ledger.before(float(until)))
            text.save(Path(before))
            warm = train(part, start, text)
            tell(day, "the day before" if start else "afresh", warm)
            start = warm.model.start
        read_before = TextModel.load(before)
    for began, first in (("behaviour afresh", read_before), ("afresh", TextModel.load(encoder))):
        fresh = train(part, None, first)
        difference = People(warm.user).mean(warm.gains - fresh.gains)
        tell(wanted.days, began, fresh, warm_is_better_by=difference.as_dict() if difference else None)
    out = wanted.out or settings.bench_folder / "quality" / data.name / "days.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    run_job(main)
