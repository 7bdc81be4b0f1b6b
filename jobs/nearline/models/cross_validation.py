"""Judge hyperparameters of the behaviour model on several windows of one time line, as a daily training would.

Each fold trains on what came before a moment and is judged on the window after it: never on a past that it knows the
future of. All folds take the same step at a time, so that after each pass there is a figure for all of them, and a
search may give up early.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from nearline.core.behaviour import Ledger
from nearline.core.hyperparameters import TrainingPlan
from nearline.core.split import cut_time, first_interactions, window_rows
from nearline.core.transitions import READINGS, transition_table
from nearline.errors import InputError
from nearline.models.behaviour_training import BehaviourTrainer
from nearline.models.choices import Choices
from nearline.models.lessons import Lessons
from nearline.models.text_model import TextModel
from nearline.models.training import starting_model
from nearline.models.training_data import VALIDATION_ROWS, TrainingData, text_pairs

WINDOWS = (0.3, 0.2, 0.1)
"""Each fold's window begins where this share of the events is still to come, and ends where the next one's begins."""


@dataclass(frozen=True)
class Texts:
    """What is read once for all trials: the catalogue (items, text width) and the queries (queries, text width).

    From an encoder that was not fine-tuned: a tuned one has learnt pairs from the windows of the earlier folds, which
    speaks for whatever leans on texts. Text training itself is not searched.
    """

    model: TextModel
    items: np.ndarray
    queries: np.ndarray


@dataclass(frozen=True)
class PassFigures:
    """What one pass gave in each fold: NDCG@10 on its window, and the mean loss in nats."""

    ndcg: list[float]
    loss: list[float]

    @property
    def mean(self) -> float:
        """The figure that is searched for: mean NDCG@10 of the folds."""
        return float(np.mean(self.ndcg))


class CrossValidation:
    """Folds on one time line, for any number of trials.

    Parameters
    ----------
    item_ids
        The catalogue in the order of the ledger's item codes.
    ledger
        Everything before the moment that daily judgement begins at.
    end
        That moment, in seconds since 1970.

    Raises
    ------
    InputError
        When a fold would have nothing to learn from, or nothing to be judged on.
    """

    def __init__(self, item_ids: list[str], ledger: Ledger, end: float, texts: Texts, seed: int) -> None:
        self.texts = texts
        self.folds = [_fold(item_ids, ledger, start, stop, seed) for start, stop in time_folds(ledger.time, end)]
        self._lessons: list[Lessons] = []
        self._choices: list[Choices] = []

    def passes(self, plan: TrainingPlan) -> Iterator[PassFigures]:
        """Train new models by a plan: the figures of one pass after another, as long as a training would go on."""
        trainers = [self._trainer(plan, data) for data in self.folds]
        choices = self._choices_of(trainers)
        best, waited, done = -1.0, 0, 0
        while done < plan.behaviour.epochs and waited < plan.behaviour.patience:
            loss = [trainer.epoch(lessons) for trainer, lessons in zip(trainers, self._lessons, strict=True)]
            figures = PassFigures([choice.validate() for choice in choices], loss)
            yield figures
            best, waited, done = max(best, figures.mean), 0 if figures.mean > best else waited + 1, done + 1

    def _trainer(self, plan: TrainingPlan, data: TrainingData) -> BehaviourTrainer:
        model, residuals = starting_model(data, plan, None, self.texts.items.shape[1], self.texts.items)
        model.to("cuda" if torch.cuda.is_available() else "cpu")
        return BehaviourTrainer(model, self.texts.items, self.texts.queries, residuals, plan.behaviour)

    def _choices_of(self, trainers: list[BehaviourTrainer]) -> list[Choices]:
        """Choices for these trainers; what does not depend on a trial, transitions above all, is found once."""
        if not self._choices:
            texts = self.texts
            for data, trainer in zip(self.folds, trainers, strict=True):
                made = Choices(data, trainer, texts.model, texts.items, texts.queries, lambda figures, step: None)
                self._choices.append(made)
                self._lessons.append(Lessons.of(data.ledger.only(data.inner), made.made["fading"]))
        found = [copy.copy(choices) for choices in self._choices]
        for choices, trainer in zip(found, trainers, strict=True):
            choices.trainer = trainer
        return found


def time_folds(times: np.ndarray, end: float) -> list[tuple[float, float]]:
    """Start and end of the window of each fold: what came before the start teaches.

    >>> time_folds(np.arange(10.0), 10.0)
    [(7.0, 8.0), (8.0, 9.0), (9.0, 10.0)]
    """
    starts = [cut_time(times, share) for share in WINDOWS]
    return list(zip(starts, [*starts[1:], end], strict=True))


def _fold(item_ids: list[str], ledger: Ledger, start: float, end: float, seed: int) -> TrainingData:
    inner = ledger.time < start
    past = ledger.only(inner)
    validation = window_rows(ledger, start, end, VALIDATION_ROWS, seed)
    if not len(first_interactions(past)) or not len(validation):
        raise InputError(
            f"Expected events that speak for items before and in each of {len(WINDOWS)} windows of time, saw "
            f"{int(inner.sum())} events before and {len(validation)} first meetings in one of them. "
            "Fix: load events over a longer time."
        )
    none: tuple[list[str], list[str], np.ndarray] = ([], [], np.zeros(0))
    return TrainingData(
        item_ids=item_ids,
        texts=[],
        ledger=ledger,
        inner=inner,
        past=inner,
        inner_end=start,
        end=end,
        validation=validation,
        pairs=text_pairs([], [], none, none),
        inner_transitions={reading: transition_table(past, reading) for reading in READINGS},
    )
