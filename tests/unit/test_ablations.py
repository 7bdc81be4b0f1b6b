"""A part that an ablation takes away is away in the training and in what is judged, and no other part with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import tiny_models
from benchmarks.quality.ablations import PARTS
from nearline.core.hyperparameters import TrainingPlan
from nearline.core.interest import LATENT
from nearline.models.behaviour_training import BehaviourTrainer
from nearline.models.choices import Choices
from nearline.models.lessons import Lessons
from nearline.models.text_model import TextModel
from nearline.models.training import starting_model
from nearline.models.training_data import TrainingData


@pytest.fixture
def data() -> TrainingData:
    torch.set_num_threads(1)
    return tiny_models.training_data(tiny_models.small_world(people=60))


def after_a_pass(data: TrainingData, folder: Path) -> Choices:
    text = TextModel.load(tiny_models.tiny_encoder(folder))
    item_texts, query_texts = text.encode(data.texts), text.encode(data.ledger.queries)
    plan = TrainingPlan()
    behaviour, residuals = starting_model(data, plan, None, text.width, item_texts)
    trainer = BehaviourTrainer(behaviour, item_texts, query_texts, residuals, plan.behaviour)
    trainer.epoch(Lessons.of(data.ledger.only(data.inner)))
    return Choices(data, trainer, text, item_texts, query_texts, lambda values, step: None)


@pytest.mark.parametrize("part", ["text", "main_axes", "faded_mean", "trends"])
def test_what_is_judged_is_what_was_trained(data: TrainingData, tmp_path: Path, part: str) -> None:
    with PARTS[part].patches():
        choices = after_a_pass(data, tmp_path)
        interests, items = choices._interests()
        queries = choices.text_model.encode(data.ledger.queries)
        model, window = choices.trainer.average.model, choices.window
        placed = model.project(torch.from_numpy(queries)).detach().numpy()
        histories = window.histories(items, np.pad(placed, ((0, 0), (0, items.shape[1] - LATENT))), 50)
        for row, history in enumerate(histories[:20]):
            kinds = [data.ledger.kinds.index(kind) for kind in history.kinds]
            trained = model(
                torch.from_numpy(history.vectors[None, :, :LATENT]),
                torch.tensor([kinds], dtype=torch.long),
                torch.ones(1, len(kinds), dtype=torch.long),
            )[0, -1].detach()
            np.testing.assert_allclose(interests[row], trained.numpy(), rtol=1e-3, atol=1e-4)


def test_without_the_mean_the_words_themselves_are_in_no_interest(data: TrainingData, tmp_path: Path) -> None:
    with PARTS["faded_mean"].patches():
        choices = after_a_pass(data, tmp_path)
        choices.trainer.average.model.output.weight.data.zero_()
        interests, _ = choices._interests()
    assert len(interests) > 20
    assert np.ptp(interests[:, :LATENT], axis=0).max() == 0.0  # nobody's history tells


def test_without_transitions_habits_fade_as_ever(data: TrainingData, tmp_path: Path) -> None:
    whole = after_a_pass(data, tmp_path)
    with PARTS["transitions"].patches():
        without = after_a_pass(data, tmp_path)
    assert without.made["fading"] == whole.made["fading"]
    assert all(len(table) for table in whole.transitions.values())
    assert not any(len(table) for table in without.transitions.values())


def test_without_searches_the_texts_learn_from_items_alone() -> None:
    data = tiny_models.training_data(tiny_models.small_world(people=60))
    without = PARTS["searches"].data(data)
    assert (data.pairs.left >= len(data.texts)).any()
    assert len(without.pairs)
    assert (without.pairs.left < len(data.texts)).all()
    assert (without.ledger.item >= 0).all()
