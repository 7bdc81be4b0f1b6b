from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nearline.core.ranking import metrics, rank


@given(arrays(np.float32, (3, 8), elements=st.integers(-3, 3).map(float)), st.integers(0, 7))
def test_a_rank_counts_what_is_scored_at_least_as_high(scores: np.ndarray, target: int) -> None:
    targets = np.full(3, target)
    expected = [sum(score >= row[target] for score in row) for row in scores]
    assert rank(scores, targets).tolist() == expected


def test_a_constant_score_comes_out_last() -> None:
    assert rank(np.zeros((1, 50)), np.array([3])).tolist() == [50]


def test_no_number_at_all_is_the_worst_score() -> None:
    assert rank(np.array([[np.nan, 1.0, 2.0]]), np.array([0])).tolist() == [3]


def test_excluded_items_do_not_count_but_a_target_always_does() -> None:
    scores = np.array([[9.0, 8.0, 7.0]])
    assert rank(scores, np.array([2]), np.array([[True, False, True]])).tolist() == [2]


def test_metrics_of_known_ranks() -> None:
    found = metrics(np.array([1, 2, 11]))
    assert found == {"ndcg": 0.5436, "hr": 0.6667, "mrr": 0.5303, "count": 3}
    assert metrics(np.array([], dtype=int))["count"] == 0
