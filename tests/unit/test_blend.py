from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nearline.core.blend import blend, standard_scores
from nearline.core.interest import DIM


@given(st.integers(0, 2**16), st.floats(0.1, 100.0))
def test_scores_are_standardised_whatever_the_length_of_the_interest(seed: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    items = random.normal(1.0, 1.0, (200, DIM)).astype(np.float32)
    interests = random.normal(size=(3, DIM)).astype(np.float32)
    z = standard_scores(interests, items)
    np.testing.assert_allclose(z.mean(axis=1), 0.0, atol=1e-3)
    np.testing.assert_allclose(z.std(axis=1), 1.0, atol=1e-3)
    np.testing.assert_allclose(standard_scores(interests * np.float32(scale), items), z, atol=1e-3)


def test_no_interest_scores_everything_alike() -> None:
    items = np.random.default_rng(0).normal(size=(5, DIM)).astype(np.float32)
    assert not standard_scores(np.zeros((1, DIM), np.float32), items).any()


def test_the_blend_adds_weighted_transitions() -> None:
    assert blend(np.ones((1, 2), np.float32), np.array([[0.0, 0.5]], np.float32), 4.0).tolist() == [[1.0, 3.0]]
