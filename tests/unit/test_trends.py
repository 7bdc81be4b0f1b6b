from __future__ import annotations

import numpy as np

import tiny_models
from nearline.core.interest import TRENDS
from nearline.core.trends import NEWNESS, UNSEEN, TrendHistory, trends_at, trends_of, unmet

DAY = 86400.0


def test_nothing_after_the_moment_counts() -> None:
    ledger = tiny_models.small_world()
    moment = 15 * DAY
    later = ledger.time >= moment
    np.testing.assert_array_equal(trends_of(ledger, moment), trends_of(ledger.before(moment), moment))
    shuffled = ledger.only(np.arange(len(ledger)))
    shuffled.item[later] = np.random.default_rng(0).permutation(shuffled.item[later])
    np.testing.assert_array_equal(trends_of(shuffled.before(moment), moment), trends_of(ledger, moment))


def test_an_item_that_nobody_met_is_a_mean_one_and_marked() -> None:
    now = trends_at(np.array([0, 0, 1]), np.array([1.0, 2.0, 3.0]) * DAY, 3, 10 * DAY)
    np.testing.assert_array_equal(now[2], unmet())
    assert now[:, UNSEEN].tolist() == [0.0, 0.0, 1.0]
    np.testing.assert_allclose(now[:2].mean(axis=0), 0.0, atol=1e-5)
    assert now[1, NEWNESS] > now[0, NEWNESS]
    assert unmet().shape == (TRENDS,)


def test_a_rising_item_is_above_a_falling_one_lately_and_below_it_ever() -> None:
    items = np.array([0] * 9 + [1] * 3)
    times = np.concatenate([np.arange(9.0), [97.0, 98.0, 99.0]]) * DAY
    now = trends_at(items, times, 2, 100 * DAY)
    assert now[1, 0] > now[0, 0]
    assert now[1, 5] < now[0, 5]


def test_each_moment_knows_only_what_was_before_it() -> None:
    ledger = tiny_models.small_world()
    history = TrendHistory(ledger, moments=5)
    for moment, table in zip(history.moments, history.tables, strict=True):
        np.testing.assert_array_equal(table, trends_of(ledger.before(moment), moment))
    assert history.before(np.array([0.0, history.moments[2], 1e12])).tolist() == [0, 2, len(history.moments) - 1]
