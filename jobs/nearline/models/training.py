"""One day's training: text model, then behaviour model, then how it is blended.

Three parts on one time line: what came first teaches; the validation window after it is for choosing (how fast habits
fade, passes, the weight of the transitions, how much to offer what nobody met yet) and is learnt last; what comes
after is never seen here.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from nearline.core.hyperparameters import TrainingPlan
from nearline.core.interest import LATENT
from nearline.core.split import first_interactions
from nearline.errors import InputError
from nearline.models.behaviour_model import BehaviourConfig, BehaviourModel
from nearline.models.behaviour_schedule import train_behaviour_model
from nearline.models.behaviour_training import BehaviourTrainer
from nearline.models.checkpoint import Checkpoint, weights_digest
from nearline.models.choices import Choices, assemble
from nearline.models.interest_model import InterestModel
from nearline.models.kept_vectors import kept_vectors
from nearline.models.process_group import is_first, of_first, process_count, wait_for_all
from nearline.models.text_model import TextModel
from nearline.models.text_training import train_text_model
from nearline.models.training_data import TrainingData

log = logging.getLogger("nearline.training")
Report = Callable[[dict[str, float], int], None]


def train_interest_model(
    data: TrainingData,
    plan: TrainingPlan,
    text_model: TextModel,
    report: Report,
    keep: Path,
    champion: InterestModel | None = None,
) -> InterestModel:
    """Train; ``report`` gets named figures and a step, the folder ``keep`` text vectors and a checkpoint.

    A champion's behaviour model is the start if it has the same shape and saw nothing of the window that choices are
    made on, as of `InterestModel.load_start`; otherwise early stopping would measure its memory. Its text model is for
    the caller to pass.

    Of several processes of a `nearline.models.process_group` each takes its share of every step, and gets the model.

    Raises
    ------
    InputError
        When there is nothing to learn from.
    """
    inner, past = data.ledger.only(data.inner), data.ledger.only(data.past)
    if not len(first_interactions(inner)):
        raise InputError(
            f"Expected events that speak for items before the validation window, saw none among {len(data.ledger)}. "
            "Fix: load events over a longer time."
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    texts = {"data": data.identity(), "plan": asdict(plan.text), "start": weights_digest(text_model)}
    tuned = Checkpoint(keep / "text.pt", texts)
    start = weights_digest(champion.behaviour) if champion else None
    checkpoint = Checkpoint(keep / "checkpoint.pt", {"texts": texts, "plan": asdict(plan), "start": start})
    item_texts, query_texts = _read_texts(data, plan, text_model.to(device), report, keep, tuned)
    behaviour, residuals = starting_model(data, plan, champion, text_model.width, item_texts)
    trainer = BehaviourTrainer(behaviour.to(device), item_texts, query_texts, residuals, plan.behaviour)
    # The first process chooses and the others hear of it: with a figure of their own, one might stop before another.
    choices = Choices(data, trainer, text_model, item_texts, query_texts, report) if is_first() else None
    made = of_first(lambda: choices.made if choices else {})
    train_behaviour_model(
        trainer,
        inner,
        past,
        made["fading"],
        lambda: of_first(lambda: choices.validate() if choices else 0.0),
        choices.choose if choices else lambda: None,
        progress(report, plan.behaviour.epochs + plan.behaviour.final_epochs),
        checkpoint,
    )
    tuned.remove()
    text_model.to("cpu")
    made = of_first(lambda: choices.made if choices else {})
    trained = assemble(trainer, text_model, data, made)
    moments = {"trained_until": data.end, "validated_from": data.inner_end}
    trained.notes = {**made, "kind_weights": data.kind_weights, **moments}
    trained.start = choices.start if choices else None
    return trained


def _read_texts(
    data: TrainingData, plan: TrainingPlan, text_model: TextModel, report: Report, keep: Path, tuned: Checkpoint
) -> tuple[np.ndarray, np.ndarray]:
    """Tune the text model, then read the catalogue and the queries with it: float32 (n, text width) each.

    One process of several does it, the others take what it left.
    """
    if is_first():
        if (kept := tuned.read()) is None:
            shutil.rmtree(keep / "text_vectors", ignore_errors=True)  # of an earlier try, and another text model
            began, going = time.monotonic(), Checkpoint(keep / "text_tuning.pt", tuned.identity)
            train_text_model(text_model, data.pairs, plan.text, progress(report, plan.text.steps), going)
            tuned.write({"text": text_model.state_dict()})
            going.remove()
            log.info("text model trained in %.0f s; reading %d items", time.monotonic() - began, len(data.texts))
        else:
            text_model.load_state_dict(kept["text"])
        began = time.monotonic()
        kept_vectors([*data.texts, *data.ledger.queries], text_model.encode, keep / "text_vectors")
        report({"items_encoded_per_second": len(data.texts) / max(time.monotonic() - began, 1e-9)}, 0)
    wait_for_all()
    if process_count() > 1:
        text_model.load_state_dict((tuned.read() or {})["text"])
    both = kept_vectors([*data.texts, *data.ledger.queries], text_model.encode, keep / "text_vectors", keep=False)
    return both[: len(data.texts)], both[len(data.texts) :]


def starting_model(
    data: TrainingData, plan: TrainingPlan, champion: InterestModel | None, text_width: int, item_texts: np.ndarray
) -> tuple[BehaviourModel, np.ndarray]:
    """Behaviour model and residuals (items, LATENT) to start from: the champion's, or new ones."""
    shape = shape_of(data, plan, text_width)
    torch.manual_seed(plan.behaviour.seed)
    behaviour = BehaviourModel(shape)
    if champion:
        if not (why := why_afresh(champion, shape, data)):
            log.info("starting from the champion's behaviour model")
            behaviour.load_state_dict(champion.behaviour.state_dict())
            return behaviour, champion.residual(data.item_ids)
        log.info("the behaviour model starts afresh, not from the champion's: %s", why)
    behaviour.start_from(torch.from_numpy(item_texts))
    behaviour.weigh_kinds(data.ledger.kind_weights)
    return behaviour, np.zeros((len(data.item_ids), LATENT), np.float32)


def shape_of(data: TrainingData, plan: TrainingPlan, text_width: int) -> BehaviourConfig:
    """How the behaviour model for these data is built."""
    kinds = len(data.ledger.kinds)
    return BehaviourConfig(
        text_width=text_width, kind_count=kinds, history_length=plan.history_length, **asdict(plan.shape)
    )


def why_afresh(champion: InterestModel, shape: BehaviourConfig, data: TrainingData) -> str:
    """Why the champion's behaviour model is no start for these data; empty where it is one."""
    if champion.behaviour.config != shape:
        return "it has another shape"
    if champion.kinds != list(data.ledger.kinds):
        return "it knows other kinds of events"
    known = champion.notes.get("kind_weights", data.kind_weights)
    if any((known[kind] < 0) != (weight < 0) for kind, weight in data.kind_weights.items()):
        return "what is a dislike has changed"
    if champion.trained_until > data.inner_end:
        return "it has seen events of the validation window"
    return ""


def progress(report: Report, most: int) -> Report:
    """Report every step, and tell a person about some."""

    def tell(figures: dict[str, float], step: int) -> None:
        report(figures, step)
        if most <= 30 or step % 10 == 9:
            shown = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in figures.items())
            log.info("step %d of at most %d: %s", step + 1, most, shown)

    return tell
