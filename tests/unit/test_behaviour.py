from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearline.core.behaviour import History, Ledger, make_ledger
from nearline.core.interest import DIM
from nearline.core.item_text import MAX_CHARACTERS, item_text
from nearline.errors import InputError, ModelError


@given(st.permutations(list(range(6))))
def test_rows_in_any_order_give_the_same_ledger(order: list[int]) -> None:
    rows = [
        ("u", "a", "view", None, 3.0, "e1"),
        ("u", "b", "view", None, 3.0, "e0"),
        ("t", None, "search", "hat", 1.0, "e2"),
        ("u", "gone", "view", None, 1.0, "e3"),
        ("t", "a", "new kind", None, 2.0, "e4"),
        ("t", None, "view", " ", 2.0, "e5"),
    ]
    users, items, kinds, texts, times, ids = zip(*(rows[place] for place in order), strict=True)
    ledger = make_ledger(
        user_ids=users, item_ids=items, kinds=kinds, texts=texts, times=np.array(times), catalogue=["a", "b"],
        kind_weights={"view": 1.0, "search": 0.5}, event_ids=ids,
    )  # fmt: skip
    assert [ledger.users[user] for user in ledger.user] == ["t", "t", "u", "u"]
    assert ledger.item.tolist() == [-1, 0, 1, 0]  # a tie in time is broken by event id
    assert ledger.query.tolist() == [0, -1, -1, -1]
    assert ledger.kind[1] == 0  # a kind that nobody knew
    assert ledger.positive.tolist() == [False, True, True, True]


def ledger_of(event_ids: list[str]) -> Ledger:
    """One person who meets another item in each of these, all at the same moment."""
    items = [f"i{row}" for row in range(len(event_ids))]
    return make_ledger(
        user_ids=["u"] * len(items), item_ids=items, kinds=["view"] * len(items), texts=[None] * len(items),
        times=np.zeros(len(items)), catalogue=items, kind_weights={"view": 1.0}, event_ids=event_ids,
    )  # fmt: skip


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), unique=True))
def test_ties_are_in_the_order_of_code_points(event_ids: list[str]) -> None:
    assert [event_ids[item] for item in ledger_of(event_ids).item] == sorted(event_ids, key=str.encode)


def test_one_long_event_id_does_not_make_all_of_them_long() -> None:
    def peak(event_ids: list[str]) -> int:
        tracemalloc.start()
        try:
            ledger_of(event_ids)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    event_ids = [f"{row:037d}" for row in range(10_000)]
    usual = peak(event_ids)
    assert peak([*event_ids[1:], "x" * 500]) - usual < 1e6  # as fixed-width text, 19 MB


def test_a_history_must_fit_together() -> None:
    vectors = np.zeros((2, DIM), np.float32)
    assert len(History(vectors, ["view", "view"]).newest(1)) == 1
    with pytest.raises(InputError, match="one vector of 128"):
        History(vectors[:, :3], ["view", "view"])
    with pytest.raises(ModelError, match="finite"):
        History(vectors * np.nan, ["view", "view"])


def test_an_item_says_title_attributes_description() -> None:
    assert item_text("A.", "B", "page", {"tags": ["x", "x", 3], "price": "4.5"}) == "A. x. B."
    assert item_text("", None, "page") == "page"
    assert len(item_text("word " * 10**6)) <= MAX_CHARACTERS
