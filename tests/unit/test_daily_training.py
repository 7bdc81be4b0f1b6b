"""Which champions a training starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny_models
from nearline.core.interest import LATENT
from nearline.daily_training import start_from, untuned_vectors_folder
from nearline.models.behaviour_model import BehaviourConfig, BehaviourModel
from nearline.models.interest_model import InterestModel
from nearline.models.text_model import TextModel
from nearline.settings import Settings

GOOD = {"text_model": "minilm", "trained_until": 120.0, "validated_from": 100.0}


def saved(folder: Path, notes: dict[str, Any]) -> str:
    text = TextModel.load(tiny_models.tiny_encoder(folder / "encoder"))
    torch.manual_seed(0)
    behaviour = BehaviourModel(BehaviourConfig(text_width=32, kind_count=2, history_length=5))
    met = ["a"], np.ones((1, LATENT), np.float32)
    model = InterestModel(text, behaviour, ["unknown", "view"], *met, notes)
    model.start = InterestModel(text, behaviour, ["unknown", "view"], *met)
    model.save(folder / "model")
    return str(folder / "model")


def test_a_champion_of_the_same_encoder_that_saw_nothing_too_late_is_a_start(tmp_path: Path) -> None:
    champion = start_from(saved(tmp_path, GOOD), "minilm", 100.0)
    assert champion is not None
    assert champion.notes == {"text_model": "minilm", "trained_until": 100.0}
    assert start_from(None, "minilm", 100.0) is None


@pytest.mark.parametrize(
    ("notes", "said"),
    [
        ({**GOOD, "text_model": "/models/e5"}, "from the encoder minilm: the champion began with /models/e5"),
        ({"validated_from": 100.0}, "the champion began with one not noted"),
        ({**GOOD, "validated_from": 101.0}, "seen events of the window that choices are made on"),
        ({"text_model": "minilm"}, "seen events of the window that choices are made on"),
    ],
)
def test_others_are_none_and_the_log_says_why(
    tmp_path: Path, notes: dict[str, Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "nearline.training")
    assert start_from(saved(tmp_path, notes), "minilm", 100.0) is None
    assert said in caplog.text


@pytest.mark.parametrize("broken", ["behaviour.pt", "start.pt"])
@pytest.mark.parametrize("content", [None, b"", b"no model"], ids=["missing", "empty", "of something else"])
def test_one_that_cannot_be_read_is_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: str, content: bytes | None
) -> None:
    folder = Path(saved(tmp_path, GOOD))
    (folder / broken).unlink()
    if content is not None:
        (folder / broken).write_bytes(content)
    assert start_from(str(folder), "minilm", 100.0) is None
    assert "cannot be read" in caplog.text


def test_vectors_of_an_encoder_are_kept_by_what_it_is_not_by_its_name(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    folder = tiny_models.tiny_encoder(tmp_path / "encoder")
    before = untuned_vectors_folder(settings, TextModel.load(folder))
    assert untuned_vectors_folder(settings, TextModel.load(folder)) == before
    changed = TextModel.load(folder)
    with torch.no_grad():
        next(changed.parameters()).add_(1.0)
    changed.save(Path(folder))
    assert untuned_vectors_folder(settings, TextModel.load(folder)) != before
