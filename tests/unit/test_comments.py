"""A comment is the mean of its item and its words wherever a history is read: learnt, judged, and by MLflow's model.

tests/integration reads the same from Postgres; tests/acceptance compares the lists.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nearline.core.behaviour import Ledger, make_ledger
from nearline.core.hyperparameters import BehaviourTraining
from nearline.core.interest import LATENT
from nearline.models.behaviour_model import BehaviourConfig, BehaviourModel
from nearline.models.behaviour_training import BehaviourTrainer
from nearline.models.evaluation import Window
from nearline.models.lessons import Lessons

WIDTH = 16


@pytest.fixture
def ledger() -> Ledger:
    """A view, a search, a comment; a comment that says nothing, and one on what is no longer there."""
    rows = [
        ("a", "view", None), (None, "search", "red hat"), ("b", "comment", "too small"), ("a", "comment", " "),
        ("gone", "comment", "lovely"), ("c", "view", None),
    ]  # fmt: skip
    items, kinds, texts = zip(*rows, strict=True)
    return make_ledger(
        user_ids=["u"] * len(rows), item_ids=items, kinds=kinds, texts=texts, times=np.arange(float(len(rows))),
        catalogue=["a", "b", "c"], kind_weights={"view": 1.0, "search": 0.5, "comment": 2.0},
    )  # fmt: skip


def test_a_ledger_knows_the_words_of_comments_on_items_that_are_there(ledger: Ledger) -> None:
    assert ledger.item.tolist() == [0, -1, 1, 0, 2]
    said = [ledger.queries[query] if query >= 0 else None for query in ledger.query]
    assert said == [None, "red hat", "too small", None, None]
    assert set(ledger.queries) == {"red hat", "too small"}


def test_training_and_judging_read_the_same(ledger: Ledger) -> None:
    random = np.random.default_rng(0)
    texts, written = (random.normal(size=(count, WIDTH)).astype(np.float32) for count in (3, len(ledger.queries)))
    model = BehaviourModel(BehaviourConfig(text_width=WIDTH, kind_count=len(ledger.kinds), history_length=9))
    residuals = random.normal(size=(3, LATENT)).astype(np.float32)
    trainer = BehaviourTrainer(model, texts, written, residuals, BehaviourTraining())
    with torch.no_grad():
        items = model.project(torch.from_numpy(texts)) + torch.from_numpy(residuals)
        queries = model.project(torch.from_numpy(written)).numpy()
        words, kinds, real = trainer._sentences(
            Lessons.of(ledger), [np.arange(len(ledger))], len(ledger), lambda codes: items[torch.from_numpy(codes)]
        )
    (history,) = Window(ledger, np.array([4]), np.array([0]), np.array([5])).histories(
        *(np.pad(vectors, ((0, 0), (0, 8))) for vectors in (items.numpy(), queries)), most=9
    )
    np.testing.assert_allclose(words[0], history.vectors[:, :LATENT], atol=1e-6)
    assert [ledger.kinds[kind] for kind in kinds[0]] == list(history.kinds)
    assert real.all()
    too_small = ledger.queries.index("too small")
    np.testing.assert_allclose(words[0, 2], (items[1] + torch.from_numpy(queries[too_small])) / 2, atol=1e-6)
    np.testing.assert_allclose(words[0, 3], items[0], atol=1e-6)
