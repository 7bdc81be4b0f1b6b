from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import tiny_models
from nearline.core.hyperparameters import TrainingPlan
from nearline.models.behaviour_training import BehaviourTrainer
from nearline.models.choices import Choices, assemble
from nearline.models.evaluation import interests_of
from nearline.models.lessons import Lessons
from nearline.models.text_model import TextModel
from nearline.models.training import starting_model


def test_choices_added_to_interests_are_those_of_the_assembled_model(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    data = tiny_models.training_data(tiny_models.small_world())
    text = TextModel.load(tiny_models.tiny_encoder(tmp_path))
    item_texts, query_texts = text.encode(data.texts), text.encode(data.ledger.queries)
    plan = TrainingPlan(history_length=3)  # shorter than some histories: what is not read makes nobody less new
    trainer = BehaviourTrainer(
        *starting_model(data, plan, None, text.width, item_texts)[:1], item_texts, query_texts,
        np.zeros((len(data.item_ids), 120), np.float32), plan.behaviour,
    )  # fmt: skip
    trainer.epoch(Lessons.of(data.ledger.only(data.inner)))
    choices = Choices(data, trainer, text, item_texts, query_texts, lambda values, step: None)
    interests, items = choices._interests()
    made = {"unseen_offset": 1.5, "newcomer_trend": 2.0, "newcomer_boost": 0.7}
    model = assemble(trainer, text, data, made)
    asked = interests_of(model, choices.window, items, model.place_queries(query_texts))
    assert len(asked) > 20
    np.testing.assert_allclose(choices._shifted(interests, made), asked, atol=1e-5)
    assert np.abs(asked - interests).max() > 1.0
