"""Hyperparameters are changed by name and checked at the start; the blocks of both families learn and are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny_models
from nearline.core.behaviour import History
from nearline.core.hyperparameters import BehaviourShape, BehaviourTraining, TextTraining, TrainingPlan
from nearline.core.interest import DIM, LATENT
from nearline.errors import SettingsError
from nearline.models.behaviour_model import BehaviourConfig, BehaviourModel
from nearline.models.behaviour_training import BehaviourTrainer
from nearline.models.gpu import gpu_utilisation
from nearline.models.interest_model import InterestModel
from nearline.models.lessons import Lessons
from nearline.models.text_model import TextModel
from nearline.models.training import train_interest_model
from nearline.settings import Settings
from nearline.training_plan import training_plan


def test_the_plan_is_the_settings_and_what_they_change() -> None:
    assert training_plan(Settings()) == TrainingPlan()
    changed = {"behaviour.learning_rate": 0.002, "shape.block": "llama", "text.upper_layers": 3, "shape.dropout": 0}
    settings = Settings.from_env({"NEARLINE_HYPERPARAMETERS": json.dumps(changed), "NEARLINE_EPOCHS": "5"})
    plan = training_plan(replace(settings, seed=11))
    assert plan.behaviour == BehaviourTraining(learning_rate=0.002, epochs=5, seed=11)
    assert plan.shape == BehaviourShape(block="llama", dropout=0.0)
    assert plan.text == TextTraining(upper_layers=3, seed=11)
    assert plan.named().items() >= changed.items()


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("{", "a JSON object"),
        ("[1]", "a JSON object"),
        ('{"shape.layer": 3}', "names among .*shape.layers.*not 'shape.layer'"),
        ('{"behaviour.epochs": 3}', "not 'behaviour.epochs'"),  # a setting of its own
        ('{"shape.layers": "3"}', "for shape.layers a whole number from 1 to 48; not '3'"),
        ('{"shape.layers": true}', "not True"),
        ('{"shape.layers": 2.0}', "not 2.0"),
        ('{"shape.heads": 7}', "for shape.heads one of 1, 2, .*not 7"),
        ('{"shape.block": "rnn"}', "one of gpt2, llama; not 'rnn'"),
        ('{"behaviour.learning_rate": NaN}', "not nan"),
        ('{"shape.dropout": -0.1}', "a number from 0 to 0.9; not -0.1"),
        ('{"text.upper_layers": 0}', "a whole number from 1 to 100; not 0"),  # NEARLINE_TEXT_STEPS=0 tunes nothing
    ],
)
def test_what_is_no_hyperparameter_is_named(value: str, named: str) -> None:
    with pytest.raises(SettingsError, match=rf"^NEARLINE_HYPERPARAMETERS: expected .*{named}.*, saw .* Fix: "):
        Settings.from_env({"NEARLINE_HYPERPARAMETERS": value})


@pytest.mark.parametrize("heads", BehaviourShape.__dataclass_fields__["heads"].metadata["choices"])
def test_every_number_of_heads_can_be_built(heads: int) -> None:
    for block in ("gpt2", "llama"):
        config = BehaviourConfig(text_width=8, kind_count=2, history_length=3, layers=1, heads=heads, block=block)
        words, ones = torch.zeros(1, 3, LATENT), torch.ones(1, 3, dtype=torch.long)
        assert BehaviourModel(config).eval()(words, ones, ones).shape == (1, 4, DIM)


def test_llama_blocks_are_trained_saved_and_loaded(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    encoder = tiny_models.tiny_encoder(tmp_path / "encoder")
    plan = TrainingPlan(
        text=TextTraining(steps=2, batch=8),
        behaviour=BehaviourTraining(epochs=3, batch=8, learning_rate=3e-3, average_steps=10),
        shape=BehaviourShape(block="llama", layers=1),
        history_length=20,
    )
    losses: list[float] = []
    model = train_interest_model(
        tiny_models.training_data(tiny_models.small_world()),
        plan,
        TextModel.load(encoder),
        lambda values, step: losses.extend([values["behaviour_loss"]] if "behaviour_loss" in values else []),
        tmp_path / "keep",
    )
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model")
    again = InterestModel.load(tmp_path / "model", threads=1)
    assert again.behaviour.config.block == "llama"
    history = History(np.ones((3, DIM), np.float32), ["view"] * 3)
    assert np.array_equal(again.interests([history]), model.interests([history]))
    longer = History(np.ones((9, DIM), np.float32), ["view"] * 9)
    np.testing.assert_allclose(again.interests([longer, history])[1], again.interests([history])[0], atol=1e-5)


def test_a_model_saved_before_there_was_a_choice_has_gpt2_blocks(tmp_path: Path) -> None:
    encoder = TextModel.load(tiny_models.tiny_encoder(tmp_path / "encoder"))
    behaviour = BehaviourModel(BehaviourConfig(text_width=32, kind_count=1))
    InterestModel(encoder, behaviour, ["unknown"], [], np.zeros((0, LATENT), np.float32)).save(tmp_path / "model")
    described = json.loads((tmp_path / "model" / "model.json").read_text())
    del described["behaviour"]["block"]
    (tmp_path / "model" / "model.json").write_text(json.dumps(described))
    assert InterestModel.load(tmp_path / "model").behaviour.config == behaviour.config


@pytest.mark.parametrize("block", ["gpt2", "llama"])
def test_half_precision_takes_nearly_the_same_steps(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU it is off; here it is switched on, as a GPU would."""
    torch.set_num_threads(1)
    ledger = tiny_models.small_world(people=12)
    lessons = Lessons.of(ledger)
    texts = np.random.default_rng(0).normal(size=(len(ledger.items), 16)).astype(np.float32)
    queries = np.random.default_rng(1).normal(size=(len(ledger.queries), 16)).astype(np.float32)

    def loss() -> float:
        torch.manual_seed(0)
        shape = BehaviourShape(block=block, dropout=0.0)
        model = BehaviourModel(
            BehaviourConfig(text_width=16, kind_count=len(ledger.kinds), **{**vars(shape), "history_length": 20})
        )
        model.start_from(torch.from_numpy(texts))
        residuals = np.zeros((len(texts), LATENT), np.float32)
        trainer = BehaviourTrainer(model, texts, queries, residuals, BehaviourTraining(average_steps=5))
        figure = [trainer.epoch(lessons) for _ in range(2)][-1]
        assert {parameter.dtype for parameter in trainer.weights.parameters()} == {torch.float32}
        return figure

    full = loss()
    half = lambda device: torch.autocast("cpu", torch.bfloat16)  # noqa: E731
    monkeypatch.setattr("nearline.models.behaviour_training.half_precision", half)
    assert loss() == pytest.approx(full, rel=0.02)
    assert loss() != full


@pytest.mark.parametrize("batch", [1, 1000])
def test_a_pass_forgets_as_much_in_many_steps_as_in_one(batch: int) -> None:
    """Of the residual of an item that nobody touches there is what is not forgotten."""
    ledger = tiny_models.small_world(people=12)
    lessons = Lessons.of(ledger)
    texts = np.ones((len(ledger.items) + 1, 16), np.float32)
    model = BehaviourModel(BehaviourConfig(text_width=16, kind_count=len(ledger.kinds), history_length=20))
    residuals = np.ones((len(texts), LATENT), np.float32)
    plan = BehaviourTraining(batch=batch, weight_decay=0.1, residual_rate=2.0)
    trainer = BehaviourTrainer(model, texts, np.ones((len(ledger.queries), 16), np.float32), residuals, plan)
    lessons.trends.tables = np.pad(lessons.trends.tables, ((0, 0), (0, 1), (0, 0)))
    for passes in (1, 2):
        trainer.epoch(lessons)
        np.testing.assert_allclose(
            trainer.weights.residuals[-1].detach().numpy(), np.exp(-0.1 * 2.0 * passes), rtol=1e-3
        )


def test_without_a_gpu_nobody_says_how_busy_it_is() -> None:
    assert gpu_utilisation(torch.device("cpu")) is None
