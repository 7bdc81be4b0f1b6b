from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nearline.core.behaviour import Ledger, make_ledger
from nearline.core.split import cut_time, first_interactions, history_bounds, sample_rows

KINDS = {"view": 1.0, "dislike": -1.0, "search": 1.0}

events = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob"]),
        st.sampled_from(["a", "b", "c", None]),
        st.sampled_from(["view", "dislike"]),
        st.integers(0, 6),
    ),
    min_size=1,
    max_size=30,
)


def ledger_of(rows: list[tuple[str, str | None, str, int]]) -> Ledger:
    users, items, kinds, times = zip(*rows, strict=True)
    return make_ledger(
        user_ids=users,
        item_ids=items,
        kinds=kinds,
        texts=["a query" if item is None else None for item in items],
        times=np.array(times, dtype=float),
        catalogue=["a", "b", "c"],
        kind_weights=KINDS,
    )


@given(events)
def test_history_is_all_of_the_same_person_strictly_before(rows: list[tuple[str, str | None, str, int]]) -> None:
    ledger = ledger_of(rows)
    first = first_interactions(ledger)
    for row, start, end in zip(first, *history_bounds(ledger, first), strict=True):
        expected = np.flatnonzero((ledger.user == ledger.user[row]) & (ledger.time < ledger.time[row]))
        assert list(range(start, end)) == list(expected)
        assert ledger.item[row] not in ledger.item[start:end]


@given(events)
def test_each_item_is_first_met_once_and_only_for_good(rows: list[tuple[str, str | None, str, int]]) -> None:
    ledger = ledger_of(rows)
    first = first_interactions(ledger)
    pairs = list(zip(ledger.user[first], ledger.item[first], strict=True))
    assert len(set(pairs)) == len(pairs)
    assert (ledger.weight[first] > 0).all()


@given(events, st.integers(0, 6), st.randoms())
def test_nothing_after_a_moment_changes_what_is_before_it(
    rows: list[tuple[str, str | None, str, int]], moment: int, random: object
) -> None:
    past = [row for row in rows if row[3] < moment]
    if past:
        everything, known = ledger_of(rows), ledger_of(past)
        names = [everything.users[user] for user in everything.before(moment).user]
        assert names == [known.users[user] for user in known.user]
        assert everything.before(moment).item.tolist() == known.item.tolist()


def test_a_dislike_makes_an_item_known() -> None:
    ledger = ledger_of([("ann", "a", "dislike", 1), ("ann", "a", "view", 2), ("ann", "b", "view", 2)])
    assert [ledger.items[item] for item in ledger.item[first_interactions(ledger)]] == ["b"]


def test_the_cut_leaves_the_share_for_judging() -> None:
    times = np.arange(100.0)
    assert (times >= cut_time(times, 0.1)).sum() == 10
    assert cut_time(np.zeros(5), 0.1) == 0.0
    assert cut_time(np.zeros(0), 0.1) == float("inf")


def test_a_sample_is_drawn_by_seed() -> None:
    rows = np.arange(100)
    assert sample_rows(rows, 10, 7).tolist() == sample_rows(rows, 10, 7).tolist()
    assert sample_rows(rows, 200, 7).tolist() == rows.tolist()
