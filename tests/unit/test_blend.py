from __future__ import annotations

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nearline.core.blend import blend, standard_scores
from nearline.core.interest import DIM, catalogue_moments


@given(st.integers(0, 2**16), st.floats(0.1, 100.0))
def test_scores_are_standardised_whatever_the_length_of_the_interest(seed: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    items = random.normal(1.0, 1.0, (200, DIM)).astype(np.float32)
    interests = random.normal(size=(3, DIM)).astype(np.float32)
    z = standard_scores(interests, items)
    np.testing.assert_allclose(z.mean(axis=1), 0.0, atol=1e-3)
    np.testing.assert_allclose(z.std(axis=1), 1.0, atol=1e-3)
    np.testing.assert_allclose(standard_scores(interests * np.float32(scale), items), z, atol=1e-3)


def test_standard_scores_take_no_more_memory_than_they_are() -> None:
    random = np.random.default_rng(0)
    items = random.normal(3.0, 1.0, (20_000, DIM)).astype(np.float32)
    interests = random.normal(size=(400, DIM)).astype(np.float32)
    moments = catalogue_moments(items)
    tracemalloc.start()
    z = standard_scores(interests, items, moments)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert z.dtype == np.float32
    assert peak < 1.5 * z.nbytes
    exact = (interests.astype(float) @ items.T).T
    np.testing.assert_allclose(z.T, (exact - exact.mean(axis=0)) / exact.std(axis=0), atol=1e-4)


def test_no_interest_scores_everything_alike() -> None:
    items = np.random.default_rng(0).normal(size=(5, DIM)).astype(np.float32)
    assert not standard_scores(np.zeros((1, DIM), np.float32), items).any()


def test_the_blend_adds_weighted_transitions() -> None:
    assert blend(np.ones((1, 2), np.float32), np.array([[0.0, 0.5]], np.float32), 4.0).tolist() == [[1.0, 3.0]]
