"""One day's training: text model, then behaviour model, then the weight of the transitions.

Three windows on one time line: everything before the inner cut teaches; from there to the cut is for choosing (epochs,
the weight of the transitions) and is learnt last; what comes after the cut is never seen here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nearline.core.behaviour import Ledger
from nearline.core.blend import TRANSITION_WEIGHTS, blend, standard_scores
from nearline.core.interest import DIM
from nearline.core.ranking import metrics, rank
from nearline.core.split import first_interactions, sample_rows
from nearline.core.transitions import Transitions
from nearline.errors import InputError
from nearline.models.behaviour_model import BehaviourConfig, BehaviourModel
from nearline.models.behaviour_training import BehaviourTrainer, BehaviourTraining, train_behaviour_model
from nearline.models.evaluation import Window, interests_of, transition_view
from nearline.models.interest_model import InterestModel
from nearline.models.kept_vectors import kept_vectors
from nearline.models.text_model import TextModel
from nearline.models.text_training import TextPairs, TextTraining, train_text_model

log = logging.getLogger("nearline.training")
Report = Callable[[dict[str, float], int], None]

VALIDATION_ROWS = 1000
"""First meetings that an epoch is validated on; more cost more than they tell."""


@dataclass(frozen=True)
class TrainingData:
    """What a model is trained on.

    Attributes
    ----------
    item_ids, texts
        The catalogue in the order of the ledger's item codes.
    pairs
        Texts that belong together, from before the inner cut.
    inner_transitions
        From before the inner cut, to choose their weight with.
    """

    item_ids: list[str]
    texts: list[str]
    ledger: Ledger
    cut: float
    inner_cut: float
    pairs: TextPairs
    inner_transitions: Transitions


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """How much, and with what."""

    text: TextTraining
    behaviour: BehaviourTraining
    history_length: int = 50


def train_interest_model(
    data: TrainingData,
    plan: TrainingPlan,
    text_model: TextModel,
    report: Report,
    keep: Path,
    champion: InterestModel | None = None,
) -> InterestModel:
    """Train; ``report`` gets named figures and a step, the folder ``keep`` the text vectors of the catalogue.

    A champion's behaviour model is the start if it has the same shape and saw nothing of the window that choices are
    made on; otherwise early stopping would measure its memory. Its text model is for the caller to pass.

    Raises
    ------
    InputError
        When there is nothing to learn from.
    """
    inner, full = data.ledger.before(data.inner_cut), data.ledger.before(data.cut)
    if not len(first_interactions(inner)):
        raise InputError(
            f"Expected events that speak for items before the validation window, saw none among {len(data.ledger)}. "
            "Fix: load events over a longer time."
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    text_model.to(device)
    began = time.monotonic()
    train_text_model(text_model, data.pairs, plan.text, _progress(report, plan.text.steps))
    log.info("text model trained in %.0f s; reading %d items", time.monotonic() - began, len(data.texts))
    began = time.monotonic()
    both = kept_vectors([*data.texts, *data.ledger.queries], text_model.encode, keep)
    item_texts, query_texts = both[: len(data.texts)], both[len(data.texts) :]
    report({"items_encoded_per_second": len(data.texts) / max(time.monotonic() - began, 1e-9)}, 0)

    shape = BehaviourConfig(
        text_width=text_model.width, kind_count=len(data.ledger.kinds), history_length=plan.history_length
    )
    torch.manual_seed(plan.behaviour.seed)
    behaviour, residuals = BehaviourModel(shape), np.zeros((len(data.item_ids), DIM), np.float32)
    behaviour.standardise(torch.from_numpy(item_texts))
    if champion and may_continue(champion, shape, data):
        log.info("starting from the champion's behaviour model")
        behaviour.load_state_dict(champion.behaviour.state_dict())
        residuals = champion.residual(data.item_ids)
    trainer = BehaviourTrainer(behaviour.to(device), item_texts, query_texts, residuals, plan.behaviour)

    def model() -> InterestModel:
        return _assemble(trainer, text_model, data)

    window = Window.of(data.ledger, validation_rows(data, plan.behaviour.seed))

    def scores() -> np.ndarray:
        now = model()
        items, queries = now.project(item_texts) + now.residual(data.item_ids), now.project(query_texts)
        return standard_scores(interests_of(now, window, items, queries), items)

    chosen: dict[str, float] = {}

    def choose() -> None:
        z, t = scores(), transition_view(window, data.inner_transitions)
        figures = [metrics(rank(blend(z, t, w), window.targets, window.known()))["ndcg"] for w in TRANSITION_WEIGHTS]
        chosen["transition_weight"] = TRANSITION_WEIGHTS[int(np.argmax(figures))]
        report({"transition_weight": chosen["transition_weight"], "validation_blend_ndcg": max(figures)}, 0)
        log.info("transition weight %g: validation NDCG@10 %.4f", chosen["transition_weight"], max(figures))

    def validate() -> float:
        return metrics(rank(scores(), window.targets, window.known()))["ndcg"]

    train_behaviour_model(trainer, inner, validate, _progress(report, plan.behaviour.epochs), choose, full)
    text_model.to("cpu")
    trained = model()
    trained.notes = {**chosen, "trained_until": data.cut, "validated_from": data.inner_cut}
    return trained


def validation_rows(data: TrainingData, seed: int) -> np.ndarray:
    """Rows of the ledger to choose by: first meetings from the inner cut to the cut."""
    first = first_interactions(data.ledger)
    times = data.ledger.time[first]
    return sample_rows(first[(times >= data.inner_cut) & (times < data.cut)], VALIDATION_ROWS, seed)


def may_continue(champion: InterestModel, shape: BehaviourConfig, data: TrainingData) -> bool:
    """Whether the champion's behaviour model fits and has not seen the validation window."""
    return (
        champion.behaviour.config == shape
        and champion.kinds == list(data.ledger.kinds)
        and champion.notes.get("trained_until", float("inf")) <= data.inner_cut
    )


def text_pairs(
    item_ids: Sequence[str],
    texts: Sequence[str],
    item_pairs: tuple[list[str], list[str], np.ndarray],
    query_pairs: tuple[list[str], list[str], np.ndarray],
) -> TextPairs:
    """Bring pairs of items and of query and item together; as a group, each is drawn half of the time."""
    place = {item_id: row for row, item_id in enumerate(item_ids)}
    queries = sorted(set(query_pairs[0]))
    query_place = {query: len(texts) + row for row, query in enumerate(queries)}
    groups = []
    for (left, right, weight), left_place in ((item_pairs, place), (query_pairs, query_place)):
        rows = np.array([(left_place.get(a, -1), place.get(b, -1)) for a, b in zip(left, right, strict=True)])
        known = (rows >= 0).all(axis=1) if len(rows) else np.zeros(0, dtype=bool)
        if known.any():
            groups.append((rows[known], weight[known] / weight[known].sum()))
    both = np.concatenate([rows for rows, _ in groups]) if groups else np.zeros((0, 2), np.int64)
    weights = np.concatenate([weight for _, weight in groups]) if groups else np.zeros(0)
    return TextPairs([*texts, *queries], both[:, 0], both[:, 1], weights)


def _assemble(trainer: BehaviourTrainer, text_model: TextModel, data: TrainingData) -> InterestModel:
    """The model as it is served: on the CPU, with residuals of the items it has met."""
    behaviour = BehaviourModel(trainer.model.config)
    behaviour.load_state_dict(trainer.model.state_dict())
    met = np.flatnonzero(trainer.seen)
    residuals = trainer.residuals.weight.detach().cpu().numpy()[met].copy()
    return InterestModel(text_model, behaviour, list(data.ledger.kinds), [data.item_ids[row] for row in met], residuals)


def _progress(report: Report, most: int) -> Report:
    """Report every step, and tell a person about some."""

    def tell(figures: dict[str, float], step: int) -> None:
        report(figures, step)
        if most <= 30 or step % 10 == 9:
            shown = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in figures.items())
            log.info("step %d of at most %d: %s", step + 1, most, shown)

    return tell
