"""A training that was killed goes on only as the same one: other data, another cut or another start begins anew."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny_models
from nearline.core.hyperparameters import BehaviourTraining, TextTraining, TrainingPlan
from nearline.models import text_training
from nearline.models.checkpoint import Checkpoint, weights_digest
from nearline.models.interest_model import InterestModel
from nearline.models.text_model import TextModel
from nearline.models.text_training import train_text_model
from nearline.models.training import train_interest_model
from nearline.models.training_data import TrainingData

PLAN = TrainingPlan(
    text=TextTraining(steps=2, batch=8), behaviour=BehaviourTraining(epochs=2, batch=8), history_length=10
)
DAY = tiny_models.DAY
Report = Callable[[dict[str, float], int], None]


class Killed(Exception):
    pass


def world(cut: float = 20 * DAY, inner_cut: float = 16 * DAY) -> TrainingData:
    return tiny_models.training_data(tiny_models.small_world(people=12), cut, inner_cut)


def other_weights() -> TrainingData:
    data = world()
    weights = [5.0 * weight for weight in data.ledger.kind_weights]
    return replace(data, ledger=replace(data.ledger, kind_weights=weights))


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return tiny_models.tiny_encoder(tmp_path / "encoder")


@pytest.fixture
def killed(encoder: Path, tmp_path: Path) -> Path:
    """What a training leaves that was killed after its first pass."""
    torch.set_num_threads(1)

    def die(values: dict[str, float], step: int) -> None:
        if "validation_ndcg" in values and step == 1:
            raise Killed

    with pytest.raises(Killed):
        train_interest_model(world(), PLAN, TextModel.load(encoder), die, tmp_path / "keep")
    assert (tmp_path / "keep" / "checkpoint.pt").exists()
    return tmp_path / "keep"


def test_tuning_of_texts_goes_on_to_the_same_weights(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(text_training, "KEEP_SECONDS", 0.0)
    pairs, plan = world().pairs, TextTraining(steps=6, batch=8)
    checkpoint = Checkpoint(tmp_path / "text_tuning.pt", {})
    done: list[int] = []

    def die(values: dict[str, float], step: int) -> None:
        if step == 4:
            raise Killed

    whole, resumed = TextModel.load(encoder), TextModel.load(encoder)
    train_text_model(whole, pairs, plan, lambda *_: None, Checkpoint(None, {}))
    with pytest.raises(Killed):
        train_text_model(TextModel.load(encoder), pairs, plan, die, checkpoint)
    train_text_model(resumed, pairs, plan, lambda values, step: done.append(step), checkpoint)
    assert done == [4, 5]
    assert weights_digest(resumed) == weights_digest(whole) != weights_digest(TextModel.load(encoder))


def what_was_done(
    keep: Path, data: TrainingData, text: TextModel, champion: InterestModel | None = None
) -> tuple[bool, int]:
    """Whether the text model was trained, and how many passes were validated."""
    texts, passes = [], []

    def report(values: dict[str, float], step: int) -> None:
        texts.extend([step] if "text_loss" in values else [])
        passes.extend([step] if "validation_ndcg" in values else [])

    train_interest_model(data, PLAN, text, report, keep, champion)
    return bool(texts), len(passes)


def test_the_same_training_goes_on(killed: Path, encoder: Path) -> None:
    assert what_was_done(killed, world(), TextModel.load(encoder)) == (False, 1)


@pytest.mark.parametrize("length", [0, 100, 5000])
def test_one_that_was_cut_begins_anew(
    killed: Path, encoder: Path, length: int, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("checkpoint.pt", "text.pt"):
        os.truncate(killed / name, length)
    assert what_was_done(killed, world(), TextModel.load(encoder)) == (True, 2)
    assert "checkpoint.pt cannot be read" in caplog.text


@pytest.mark.parametrize(
    "data", [lambda: world(18 * DAY, 13 * DAY), lambda: world(20 * DAY, 14 * DAY), other_weights],
    ids=["another cut", "another inner cut", "other kind weights"],
)  # fmt: skip
def test_other_data_begin_anew(killed: Path, encoder: Path, data: Callable[[], TrainingData]) -> None:
    assert what_was_done(killed, data(), TextModel.load(encoder)) == (True, 2)


def test_another_encoder_begins_anew(killed: Path, encoder: Path) -> None:
    other = TextModel.load(encoder)
    with torch.no_grad():
        next(iter(other.parameters())).add_(0.01)
    assert weights_digest(other) != weights_digest(TextModel.load(encoder)) == weights_digest(TextModel.load(encoder))
    assert what_was_done(killed, world(), other) == (True, 2)


def test_another_champion_begins_anew_with_the_same_texts(killed: Path, encoder: Path, tmp_path: Path) -> None:
    earlier = world(14 * DAY, 11 * DAY)
    champion = train_interest_model(earlier, PLAN, TextModel.load(encoder), lambda *_: None, tmp_path / "earlier")
    assert what_was_done(killed, world(), TextModel.load(encoder), champion) == (False, 2)
