from __future__ import annotations

import numpy as np
import pytest

from nearline.core.behaviour import Ledger, make_ledger
from nearline.core.transitions import Reading, top_successors, transition_scores, transition_table


def ledger_of(rows: list[tuple[str, str, float]]) -> Ledger:
    users, items, times = zip(*rows, strict=True)
    return make_ledger(
        user_ids=users,
        item_ids=items,
        kinds=["view"] * len(rows),
        texts=[None] * len(rows),
        times=np.array(times),
        catalogue=["a", "b", "c"],
        kind_weights={"view": 1.0},
    )


def weights(ledger: Ledger) -> dict[tuple[str, str], float]:
    table = transition_table(ledger)
    rows = zip(table.item, table.next_item, table.weight, strict=True)
    return {(ledger.items[a], ledger.items[b]): pytest.approx(float(w), abs=1e-6) for a, b, w in rows}


def test_a_table_by_hand() -> None:
    found = weights(ledger_of([("u", "a", 1), ("u", "b", 2), ("u", "c", 3)]))
    ab, ac = 1 / np.sqrt(1 + 2**-0.5), 2**-0.5 / np.sqrt(1 + 2**-0.5)
    assert found == {("a", "b"): ab, ("a", "c"): ac, ("b", "c"): 1.0}  # the largest is 1


def test_of_two_at_the_same_moment_none_is_first() -> None:
    assert weights(ledger_of([("u", "a", 1), ("u", "b", 1)])) == {("a", "b"): 1.0, ("b", "a"): 1.0}


def test_nothing_crosses_people_and_only_first_meetings_count() -> None:
    assert weights(ledger_of([("u", "a", 1), ("v", "b", 2)])) == {}
    assert weights(ledger_of([("u", "a", 1), ("u", "b", 2), ("u", "a", 3)])) == {("a", "b"): 1.0}


def test_only_the_heaviest_successors_stay() -> None:
    item, following = np.zeros(150, np.int64), np.arange(150)
    table = top_successors(item, following, np.arange(150.0))
    assert len(table) == 100
    assert table.next_item[0] == 149
    assert table.weight[0] == 1.0


def test_scores_follow_recency_and_the_kind_of_event() -> None:
    table = transition_table(ledger_of([("u", "a", 1), ("u", "b", 2), ("v", "b", 1), ("v", "c", 2)]))
    nothing = np.zeros(0, np.int64), np.zeros(0)
    both = np.array([0, 1]), np.array([1.0, 1.0])
    disliked = np.array([0, 1]), np.array([1.0, -3.0])
    scores = transition_scores(table, [nothing, both, disliked], 3)
    assert scores[0].tolist() == [0.0, 0.0, 0.0]
    np.testing.assert_allclose(scores[1], [0.0, np.exp(-0.25), 1.0], rtol=1e-5)
    np.testing.assert_allclose(scores[2], [0.0, 1.0, 0.0], rtol=1e-5)


def test_what_is_near_by_hand() -> None:
    ledger = ledger_of([("u", "a", 1), ("u", "b", 2), ("u", "c", 3)])
    table = transition_table(ledger, Reading(near=True))
    found = {
        (ledger.items[a], ledger.items[b]): w for a, b, w in zip(table.item, table.next_item, table.weight, strict=True)
    }
    near, far = 1.0, 2**-0.5
    total = {"a": 20 + near + far, "b": 20 + near + near, "c": 20 + near + far}
    expected = {
        pair: count / np.sqrt(total[pair[0]] * total[pair[1]])
        for pair, count in {("a", "b"): near, ("b", "c"): near, ("a", "c"): far}.items()
    }
    expected |= {(b, a): weight for (a, b), weight in expected.items()}
    assert found == {pair: pytest.approx(weight / expected["a", "b"]) for pair, weight in expected.items()}
