from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny_models
from nearline.core.behaviour import make_ledger
from nearline.core.blend import TRANSITION_WEIGHTS, blend, standard_scores
from nearline.core.hyperparameters import TrainingPlan
from nearline.core.interest import DIM
from nearline.core.ranking import metrics, rank
from nearline.core.transitions import transition_table
from nearline.models import evaluation
from nearline.models.behaviour_training import BehaviourTrainer
from nearline.models.choices import WATCHED_WEIGHTS, Choices, Mix, assemble
from nearline.models.evaluation import Window, interests_of, transition_view
from nearline.models.lessons import Lessons
from nearline.models.text_model import TextModel
from nearline.models.training import starting_model


@pytest.fixture
def choices(tmp_path: Path) -> Choices:
    torch.set_num_threads(1)
    data = tiny_models.training_data(tiny_models.small_world(people=60))
    text = TextModel.load(tiny_models.tiny_encoder(tmp_path))
    item_texts, query_texts = text.encode(data.texts), text.encode(data.ledger.queries)
    plan = TrainingPlan(history_length=3)  # shorter than some histories: what is not read makes nobody less new
    trainer = BehaviourTrainer(
        *starting_model(data, plan, None, text.width, item_texts)[:1], item_texts, query_texts,
        np.zeros((len(data.item_ids), 120), np.float32), plan.behaviour,
    )  # fmt: skip
    trainer.epoch(Lessons.of(data.ledger.only(data.inner)))
    return Choices(data, trainer, text, item_texts, query_texts, lambda values, step: None)


def test_choices_added_to_interests_are_those_of_the_assembled_model(choices: Choices) -> None:
    interests, items = choices._interests()
    made = {"unseen_offset": 1.5, "newcomer_trend": 2.0, "newcomer_boost": 0.7}
    model = assemble(choices.trainer, choices.text_model, choices.data, made)
    asked = interests_of(model, choices.window, items, model.place_queries(choices.query_texts))
    assert len(asked) > 20
    np.testing.assert_allclose(choices._shifted(interests, made), asked, atol=1e-5)
    assert np.abs(asked - interests).max() > 1.0


@pytest.mark.parametrize("rows_a_batch", [7, 1000])
def test_what_is_chosen_does_not_depend_on_how_many_are_scored_together(
    choices: Choices, monkeypatch: pytest.MonkeyPatch, rows_a_batch: int
) -> None:
    monkeypatch.setattr(evaluation, "ROWS_A_BATCH", rows_a_batch)
    interests, items = choices._interests()
    z, t, known = (
        standard_scores(interests, items),
        {near: transition_view(choices.window, table) for near, table in choices.transitions.items()},
        choices.window.known(),
    )
    found = {
        (near, weight): metrics(rank(blend(z, t[near], weight), choices.window.targets, known), digits=6)["ndcg"]
        for near in (False, True)
        for weight in TRANSITION_WEIGHTS
    }
    assert len(set(found.values())) > 4
    assert choices.validate() == max(found[near, weight] for near in (False, True) for weight in WATCHED_WEIGHTS)
    choices.choose()
    near, weight = max(found, key=lambda pair: found[pair])
    assert (choices.made["near"], choices.made["transition_weight"]) == (near, weight)
    scores = np.concatenate(list(choices.scores()))
    assert scores.shape == (len(choices.window), len(items))
    np.testing.assert_allclose(scores, blend(z, t[near], weight), atol=1e-4)


@pytest.mark.parametrize("least", [1, 10_000])
def test_a_window_of_few_rows_moves_nothing_unmet_up(
    choices: Choices, monkeypatch: pytest.MonkeyPatch, least: int
) -> None:
    for name, value in (("UNMET_ITEMS", 0), ("WORTH_OF_NEWS", 1.0), ("UNMET_ROWS", least)):
        monkeypatch.setattr(f"nearline.models.choices.{name}", value)
    choices.choose()
    assert 1 < len(choices.window) < 10_000
    assert (choices.made["unseen_offset"] > 0.0) == (least == 1)


def test_scores_of_all_people_are_never_held_at_once() -> None:
    people, items = 1500, 20_000
    ledger = make_ledger(
        user_ids=[f"u{n // 2:04d}" for n in range(2 * people)], item_ids=[str(n % items) for n in range(2 * people)],
        kinds=["view"] * (2 * people), texts=[None] * (2 * people), times=np.arange(2.0 * people),
        catalogue=[str(n) for n in range(items)], kind_weights={"view": 1.0},
    )  # fmt: skip
    choices, window = Choices.__new__(Choices), Window.of(ledger, np.arange(1, 2 * people, 2))
    choices.transitions = {False: transition_table(ledger)}
    interests = np.zeros((people, DIM), np.float32)
    vectors = np.random.default_rng(1).normal(size=(items, DIM)).astype(np.float32)
    mixes = [Mix(False, 1.0), Mix(False, 2.0)]
    tracemalloc.start()
    found = choices._figures(window, {"now": interests}, mixes, lambda part: part @ vectors.T)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.keys() == {("now", mix) for mix in mixes}
    assert found["now", mixes[1]] > 0.5  # each item is followed by one other
    assert peak < people * items * 4
