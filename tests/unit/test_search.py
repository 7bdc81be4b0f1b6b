"""Cross-validation never trains on a future, and the search compares what it finds with what is set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import tiny_models
from nearline.core.hyperparameters import BehaviourShape, BehaviourTraining, TrainingPlan
from nearline.errors import InputError
from nearline.models.cross_validation import CrossValidation, Texts, time_folds
from nearline.models.text_model import TextModel
from nearline.search import SPACE, Search, changes

PLAN = TrainingPlan(behaviour=BehaviourTraining(epochs=2, batch=8, average_steps=10), history_length=20)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Texts:
    torch.set_num_threads(1)
    model = TextModel.load(tiny_models.tiny_encoder(tmp_path_factory.mktemp("encoder")))
    return Texts(model, model.encode(tiny_models.catalogue()[1]), model.encode(tiny_models.small_world().queries))


def validation(texts: Texts, people: int = 40) -> CrossValidation:
    ledger = tiny_models.small_world(people).before(20 * tiny_models.DAY)
    return CrossValidation(tiny_models.catalogue()[0], ledger, 20 * tiny_models.DAY, texts, 7)


def test_folds_lie_on_one_time_line(texts: Texts) -> None:
    folds = validation(texts).folds
    assert len(folds) == 3
    for data, later in zip(folds, [*folds[1:], None], strict=True):
        assert data.end == (later.inner_end if later else 20 * tiny_models.DAY)
        assert data.ledger.time[data.inner].max() < data.inner_end
        asked = data.ledger.time[data.validation]
        assert len(asked)
        assert asked.min() >= data.inner_end
        assert asked.max() < data.end
    assert time_folds(np.arange(100.0), 200.0) == [(70.0, 80.0), (80.0, 90.0), (90.0, 200.0)]


def test_a_plan_gives_the_same_figures_whatever_was_tried_before(texts: Texts) -> None:
    folds = validation(texts)
    first = list(folds.passes(PLAN))
    other = list(folds.passes(PLAN.changed({"shape.block": "llama", "behaviour.learning_rate": 0.01})))
    again = list(folds.passes(PLAN))
    assert len(first) == 2
    assert first == again
    assert first != other
    assert first[0].mean == pytest.approx(np.mean(first[0].ndcg))


def test_too_short_a_time_says_so(texts: Texts) -> None:
    with pytest.raises(InputError, match="load events over a longer time"):
        CrossValidation(tiny_models.catalogue()[0], tiny_models.small_world(3).before(0.0), 1.0, texts, 7)


def test_the_first_trial_is_what_is_set() -> None:
    plan = PLAN.changed({"shape.dropout": 0.6, "behaviour.residual_rate": 0.0, "shape.heads": 5})
    search = Search(plan, 7)
    assert SPACE.keys() - search.space.keys() == {
        *("shape.dropout", "shape.heads", "behaviour.residual_rate", "behaviour.average_steps")
    }
    first = search.next()
    assert first.number == 0
    assert first.plan == plan
    second = search.next()
    assert second.plan != plan
    assert second.plan.shape.heads == 5
    # Steps, seed and history length are never searched.
    assert replace(second.plan.behaviour, **vars(plan.behaviour)) == plan.behaviour
    assert (second.plan.history_length, second.plan.behaviour.epochs) == (20, 2)


def test_what_is_printed_can_be_set() -> None:
    plan = TrainingPlan().changed({"behaviour.learning_rate": 0.002, "shape.block": "llama"})
    assert changes(plan) == {"behaviour.learning_rate": 0.002, "shape.block": "llama"}
    assert TrainingPlan().changed(changes(plan)) == plan
    assert changes(PLAN) == {"behaviour.batch": 8, "behaviour.average_steps": 10}
    for _ in range(5):
        trial = (search := Search(TrainingPlan(), 3)).next()
        assert TrainingPlan().changed(changes(trial.plan)) == trial.plan
        search.finish(trial)


def test_the_search_finds_what_is_better_and_gives_up_on_what_is_not() -> None:
    def figure(plan: TrainingPlan, step: int) -> float:
        return 0.5 - abs(plan.shape.dropout - 0.4) + 0.01 * step

    def run(seed: int) -> tuple[Search, list[BehaviourShape]]:
        search, tried = Search(TrainingPlan().changed({"shape.dropout": 0.2}), seed), []
        for _ in range(30):
            trial = search.next()
            tried.append(trial.plan.shape)
            search.finish(trial, given_up=not all(search.go_on(trial, figure(trial.plan, step)) for step in range(4)))
        return search, tried

    search, tried = run(1)
    assert search.finished[0].best == pytest.approx(0.33)
    assert search.best.best > search.finished[0].best
    assert abs(search.best.plan.shape.dropout - 0.4) < 0.1
    assert 0 < len(search.finished) < 30
    assert run(1)[1] == tried


def test_a_trial_that_broke_does_not_end_the_search() -> None:
    search = Search(TrainingPlan(), 7)
    first = search.next()
    search.go_on(first, 0.1)
    search.finish(first)
    search.fail(search.next())
    assert search.next().number == 2
    assert search.best is first
