"""What each part of the model earns: trained without it, up to the inner cut only, and judged on the validation window.

The test window is not touched, and no training goes on to its final passes over the newest events: what helps there
shows as of an earlier cut only. Each line has NDCG@10 over the whole catalogue and on known items (the inner part's,
among themselves), on new items, and on what comes within ten events after a dislike or a return, and after a search;
and the paired difference to the whole model with its interval, people drawn again.

python tests/benchmarks/quality/ablations.py --data folder --without text_tuning,residuals
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

if not __package__:  # run, not imported
    sys.path[:1] = [str(Path(__file__).resolve().parents[2])]  # not this folder: its names are common ones

from benchmarks.quality import contestants, tracking
from benchmarks.quality.bootstrap import People
from benchmarks.quality.data import QualityData
from benchmarks.quality.nearline_model import training_data
from benchmarks.quality.problem import Problem
from benchmarks.quality.protocol import successive
from nearline.core.ranking import gains, rank
from nearline.core.transitions import Transitions
from nearline.errors import InputError, run_job
from nearline.models import behaviour_model, choices, lessons
from nearline.models import training as training_module
from nearline.models.evaluation import Window
from nearline.models.text_model import TextModel, text_model_folder, use_threads
from nearline.models.training import train_interest_model
from nearline.models.training_data import TrainingData
from nearline.settings import Settings
from nearline.training_plan import training_plan

log = logging.getLogger("nearline.quality")

Patches = Callable[[], Any]
Texts = dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Without:
    """A model without one part: other hyperparameters, other data, or a part switched off."""

    plan: dict[str, Any] = field(default_factory=dict)
    data: Callable[[TrainingData], TrainingData] = lambda data: data
    patches: Patches = nullcontext


def _no_text() -> Any:
    def start(model: behaviour_model.BehaviourModel, text_vectors: torch.Tensor) -> None:
        torch.nn.init.zeros_(model.projection.weight)

    return mock.patch.object(behaviour_model.BehaviourModel, "start_from", start)


def _random_axes() -> Any:
    def start(model: behaviour_model.BehaviourModel, text_vectors: torch.Tensor) -> None:
        model.text_centre.copy_(text_vectors.mean(0))
        model.text_scale.copy_(text_vectors.std(0, unbiased=False).clamp(min=1e-6))

    return mock.patch.object(behaviour_model.BehaviourModel, "start_from", start)


def _no_mean() -> Any:
    real = behaviour_model.BehaviourModel.__init__

    def start(model: behaviour_model.BehaviourModel, *rest: Any, **named: Any) -> None:
        real(model, *rest, **named)
        # By its weight, which what is served reads too.
        torch.nn.init.zeros_(model.mean_scale).requires_grad_(False)

    return mock.patch.object(behaviour_model.BehaviourModel, "__init__", start)


@contextmanager
def _no_trends() -> Iterator[None]:
    real = lessons.TrendHistory.__init__

    def start(history: Any, *rest: Any, **named: Any) -> None:
        real(history, *rest, **named)
        history.tables[:] = 0.0

    def nothing(ledger: Any, moment: float) -> np.ndarray:
        return np.zeros((len(ledger.items), 8), np.float32)

    with mock.patch.object(lessons.TrendHistory, "__init__", start), mock.patch.object(choices, "trends_of", nothing):
        yield


def _no_transitions() -> Any:
    real = choices.Choices.__init__

    def start(chosen: choices.Choices, *rest: Any, **named: Any) -> None:
        real(chosen, *rest, **named)  # how habits fade is chosen by them; the lessons fade likewise
        nothing = Transitions(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
        chosen.transitions = dict.fromkeys(chosen.transitions, nothing)

    return mock.patch.object(choices.Choices, "__init__", start)


def _no_kinds(data: TrainingData) -> TrainingData:
    return replace(data, ledger=replace(data.ledger, kind=np.zeros_like(data.ledger.kind)))


def _no_searches(data: TrainingData) -> TrainingData:
    kept = data.ledger.item >= 0
    place = np.cumsum(kept) - 1
    pairs, of_items = data.pairs, data.pairs.left < len(data.texts)
    return replace(
        data,
        pairs=replace(pairs, left=pairs.left[of_items], right=pairs.right[of_items], weight=pairs.weight[of_items]),
        ledger=data.ledger.only(kept),
        inner=data.inner[kept],
        past=data.past[kept],
        validation=place[data.validation],
    )


def _no_fading(data: TrainingData) -> TrainingData:
    kept = {one: table for one, table in data.inner_transitions.items() if not one.fading}
    return replace(data, inner_transitions=kept)


def _no_near(data: TrainingData) -> TrainingData:
    following = {one: table for one, table in data.inner_transitions.items() if not one.near}
    return replace(data, inner_transitions=following | {one._replace(near=True): following[one] for one in following})


PARTS = {
    "text_tuning": Without({"text.steps": 0}),
    "residuals": Without({"behaviour.residual_dropout": 1.0}),
    "residual_dropout": Without({"behaviour.residual_dropout": 0.0}),
    "text": Without({"behaviour.projection_rate": 0.0}, patches=_no_text),
    "main_axes": Without(patches=_random_axes),
    "faded_mean": Without(patches=_no_mean),
    "trends": Without(patches=_no_trends),
    "kinds": Without(data=_no_kinds),
    "searches": Without(data=_no_searches),
    "fading": Without(data=_no_fading),
    "near": Without(data=_no_near),
    "transitions": Without(patches=_no_transitions),
    "averaging": Without({"behaviour.average_steps": 1}),
}


@dataclass(frozen=True)
class Found:
    """Gains on the validation rows, 0 to 1, among the whole catalogue and among the inner items (0 for others)."""

    catalogue: np.ndarray
    warm: np.ndarray
    seconds: float
    made: dict[str, float]


def measure(data: QualityData, problem: Problem, part: Without, epochs: int, seed: int, texts: Texts) -> Found:
    """Train without a part; choices as ever, but the window they are made on is never learnt."""
    began = time.monotonic()
    settings = replace(Settings.from_env(), seed=seed, epochs=epochs)
    changes = {"behaviour.final_epochs": 0, **part.plan}
    plan = training_plan(settings)
    plan = replace(plan, text=replace(plan.text, steps=changes.pop("text.steps", plan.text.steps))).changed(changes)
    training = part.data(training_data(data, problem))
    seen: dict[str, Any] = {}
    real, read_texts = choices.Choices.choose, training_module._read_texts

    def choose(chosen: choices.Choices) -> None:
        real(chosen)
        seen["scores"] = np.concatenate(list(chosen.scores()))
        seen["window"], seen["known"], seen["made"] = chosen.window, chosen.window.known(), dict(chosen.made)

    def read(training_data: TrainingData, *rest: Any) -> tuple[np.ndarray, np.ndarray]:
        # Most parts leave the texts alone: they are tuned and read once for all of those.
        key = (plan.text.steps, len(training_data.pairs))
        if key not in texts:
            texts[key] = read_texts(training_data, *rest)
        return texts[key]

    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="nearline-ablation-") as keep:
        stack.enter_context(part.patches())
        stack.enter_context(mock.patch.object(choices.Choices, "choose", choose))
        stack.enter_context(mock.patch.object(training_module, "_read_texts", read))
        text = TextModel.load(text_model_folder(settings.text_model))
        train_interest_model(training, plan, text, lambda found, step: None, Path(keep))
    scores, targets, known = seen["scores"], seen["window"].targets, seen["known"]
    warm = problem.inner_trained[targets]
    catalogue = gains(rank(scores, targets, known))
    among = np.where(warm, gains(rank(scores, targets, known | ~problem.inner_trained)), 0.0)
    return Found(catalogue, among, time.monotonic() - began, seen["made"])


def main(argv: list[str] | None = None) -> int:
    """Print one JSON object a part, and write them all to ablations.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--without", default="all", help=f"all, or some of {','.join(PARTS)}")
    parser.add_argument("--epochs", type=int, default=8, help="most passes of each training")
    parser.add_argument("--out", type=Path, help="default: bench/quality/<data>/ablations.json in NEARLINE_HOME")
    wanted = parser.parse_args(argv)
    names = list(PARTS) if wanted.without == "all" else wanted.without.split(",")
    if unknown := set(names) - set(PARTS):
        raise InputError(f"--without: expected all or some of {', '.join(PARTS)}; saw {', '.join(sorted(unknown))}.")
    logging.getLogger().handlers[:] = []
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    use_threads()
    data = QualityData.load(wanted.data)
    problem = successive(data.ledger, 7)
    if not data.ledger.queries:
        names = [name for name in names if name != "searches"]
    plan = training_plan(replace(Settings.from_env(), seed=7, epochs=wanted.epochs))
    report: dict[str, Any] = {
        "data": {"name": data.name, "digest": data.digest},
        "code": contestants.code(),
        "settings": {**plan.named(), "text_model": Settings.from_env().text_model},
        "rows": [],
    }
    out = wanted.out or Settings.from_env().bench_folder / "quality" / data.name / "ablations.json"
    texts: Texts = {}
    whole = measure(data, problem, Without(), wanted.epochs, 7, texts)
    users = data.ledger.user[problem.validation.rows]
    warm = problem.inner_trained[problem.validation.targets]
    after = {
        "after_a_dislike": comes_after(problem.validation, data.ledger.weight < 0),
        "after_a_search": comes_after(problem.validation, data.ledger.item < 0),
    }
    report["rows"].append(_row("nothing", whole, whole, users, warm, after))
    for name in names:
        log.info("without %s", name)
        found = measure(data, problem, PARTS[name], wanted.epochs, 7, texts)
        report["rows"].append(_row(name, found, whole, users, warm, after))
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=1))
    tracking.log_ablations(report, out, Settings.from_env().mlflow_uri, out.parent)
    return 0


def comes_after(window: Window, events: np.ndarray) -> np.ndarray:
    """Bool (n,): rows of people whose newest ten events have one of ``events``, a bool for each row of the ledger."""
    so_far = np.concatenate([[0], np.cumsum(events)])
    found: np.ndarray = so_far[window.end] > so_far[np.maximum(window.start, window.end - 10)]
    return found


def _row(
    name: str, found: Found, whole: Found, users: np.ndarray, warm: np.ndarray, after: dict[str, np.ndarray]
) -> dict[str, Any]:
    row: dict[str, Any] = {"without": name, "seconds": round(found.seconds), "chosen": found.made}
    for figure, without, beside, rows in (
        ("all", found.catalogue, whole.catalogue, np.ones_like(warm)),
        ("warm", found.warm, whole.warm, warm),
        ("cold", found.catalogue, whole.catalogue, ~warm),
        *((figure, found.catalogue, whole.catalogue, rows) for figure, rows in after.items()),
    ):
        difference = People(users[rows]).mean((beside - without)[rows]) if rows.any() else None
        row[figure] = round(float(without[rows].mean()), 5) if rows.any() else None
        row[f"{figure}_gain_of_the_part"] = difference.as_dict() if difference else None
    print(json.dumps(row), flush=True)
    return row


if __name__ == "__main__":
    run_job(main)
