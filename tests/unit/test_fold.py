from __future__ import annotations

import numpy as np

from nearline.core.behaviour import make_ledger
from nearline.core.fold import Fold, unit_scale
from nearline.core.interest import DIM, LATENT
from nearline.models.evaluation import Window, folded

RANDOM = np.random.default_rng(0)
INTEREST = RANDOM.normal(size=DIM).astype(np.float32)
VECTORS = RANDOM.normal(size=(3, DIM)).astype(np.float32)


def test_without_events_nothing_changes() -> None:
    folded = Fold(0.8, 0.5, 3.0)(INTEREST, np.zeros((0, DIM), np.float32), np.zeros(0), 2.0)
    np.testing.assert_array_equal(folded, INTEREST)


def test_the_newest_event_weighs_most_and_its_length_does_not_matter() -> None:
    fold = Fold(1.0, 0.5, 2.0)
    folded = fold(INTEREST, VECTORS * np.array([[1.0], [9.0], [1.0]], np.float32), np.ones(3), 2.0)
    unit = VECTORS[:, :LATENT] / np.linalg.norm(VECTORS[:, :LATENT], axis=1, keepdims=True)
    expected = INTEREST[:LATENT] + 0.5 * 2.0 * (unit[2] + np.exp(-0.5) * unit[1] + np.exp(-1.0) * unit[0])
    np.testing.assert_allclose(folded[:LATENT], expected, rtol=1e-5)
    np.testing.assert_array_equal(folded[LATENT:], INTEREST[LATENT:])


def test_a_dislike_pushes_away_as_much_as_a_like_draws_near() -> None:
    fold = Fold(0.5, 0.5, 2.0)
    liked, disliked = (fold(INTEREST, VECTORS[:1], np.array([weight]), 2.0) for weight in (5.0, -3.0))
    np.testing.assert_allclose(liked + disliked, INTEREST, rtol=1e-4, atol=1e-5)
    assert (liked - disliked)[:LATENT] @ VECTORS[0, :LATENT] > 0


def test_the_scale_makes_scores_of_unit_vectors_spread_by_one() -> None:
    items = RANDOM.normal(size=(5000, DIM)) * 3.0
    covariance = np.cov(items.T)
    directions = RANDOM.normal(size=(500, DIM))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    spread = np.sqrt(np.mean((unit_scale(covariance) * directions @ items.T).var(axis=1)))
    assert abs(spread - 1.0) < 0.05


def test_the_fit_folds_what_is_served_searches_too() -> None:
    ledger = make_ledger(
        user_ids=["u"] * 4,
        item_ids=["a", None, "b", "c"],
        kinds=["view", "search", "dislike", "view"],
        texts=[None, "boots", None, None],
        times=np.arange(4.0),
        catalogue=["a", "b", "c"],
        kind_weights={"view": 1.0, "search": 1.0, "dislike": -3.0},
    )
    window, fold = Window.of(ledger, np.array([3])), Fold(0.8, 0.5, 2.0)
    vectors = RANDOM.normal(size=(4, DIM)).astype(np.float32)  # a, b, c, boots
    found = folded(INTEREST[None], window, np.array([1]), vectors, fold, 2.0)
    np.testing.assert_array_equal(found[0], fold(INTEREST, vectors[[3, 1]], np.array([1.0, -3.0]), 2.0))
    np.testing.assert_array_equal(folded(INTEREST[None], window, np.array([3]), vectors, fold, 2.0)[0], INTEREST)
