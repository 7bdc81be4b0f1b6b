"""The quality benchmark asks fairly: nothing of what is asked for, or of what came later, is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality import newest
from benchmarks.quality.ablations import comes_after
from benchmarks.quality.problem_folder import write_problem
from benchmarks.quality.protocol import Problem, leave_one_out, successive
from nearline.core.behaviour import Ledger, make_ledger
from nearline.core.split import window_rows
from nearline.errors import InputError
from quality_world import ITEMS, as_data, random_ledger, shuffled_from

PROTOCOLS = [successive, leave_one_out]
COLUMNS = ("user", "item", "time", "weight")
VECTORS = np.zeros((ITEMS, 4), np.float32)


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return random_ledger()


def written(problem: Problem, folder: Path) -> dict[str, dict[str, np.ndarray]]:
    write_problem(problem, as_data(problem.ledger), VECTORS, folder)
    return {path.stem: dict(np.load(path)) for path in folder.glob("*.npz")}


def history(test: dict[str, np.ndarray], row: int) -> tuple[list[float], ...]:
    span = slice(test["indptr"][row], test["indptr"][row + 1])
    return tuple(test[name][span].tolist() for name in ("items", "times", "weights"))


def test_shuffling_all_that_comes_later_changes_nothing(ledger: Ledger, tmp_path: Path) -> None:
    before = written(successive(ledger), tmp_path / "before")
    changed = 0
    for row in range(0, len(before["test"]["at"]), 4):
        user, at = before["test"]["user"][row], before["test"]["at"][row]
        other = successive(shuffled_from(ledger, ledger.time > at))
        changed += (other.ledger.item != ledger.item).any()
        after = written(other, tmp_path / "after")
        for part in ("train", "validation"):
            for name, column in before[part].items():
                np.testing.assert_array_equal(after[part][name], column, err_msg=f"{part} {name}")
        same = np.flatnonzero((after["test"]["user"] == user) & (after["test"]["at"] == at))
        assert len(same)
        assert all(history(after["test"], again) == history(before["test"], row) for again in same)
    assert changed > 5


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_target_and_no_tie_in_time_is_in_a_history(ledger: Ledger, protocol: object, tmp_path: Path) -> None:
    problem = protocol(ledger)  # type: ignore[operator]
    files = written(problem, tmp_path)
    ties = 0
    for part, window in (("validation", problem.validation), ("test", problem.test)):
        assert len(window) > 20
        for row, target in enumerate(window.targets):
            items, times, _ = history(files[part], row)
            assert target not in items
            assert all(time < files[part]["at"][row] for time in times)
            same = (ledger.user == ledger.user[window.rows[row]]) & (ledger.time == ledger.time[window.rows[row]])
            ties += same.sum() > 1
    assert ties > 10  # there was something to be careful about
    assert "target" not in files["test"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nothing_asked_for_is_in_what_is_learnt(ledger: Ledger, protocol: object) -> None:
    problem = protocol(ledger)  # type: ignore[operator]
    pairs = ledger.user * ITEMS + ledger.item
    for window, learnt in ((problem.test, problem.full), (problem.validation, problem.inner)):
        assert not set(pairs[window.rows]) & set(pairs[learnt & (ledger.item >= 0)])
    assert not (problem.inner & ~problem.full).any()


def test_popularity_ends_at_the_cut(ledger: Ledger) -> None:
    problem = successive(ledger)
    other = successive(shuffled_from(ledger, ledger.time >= problem.cut))
    np.testing.assert_array_equal(other.popularity, problem.popularity)
    np.testing.assert_array_equal(other.trained, problem.trained)
    liked = {}  # whether a person liked an item at the moment they first met it
    rows = np.flatnonzero((ledger.time < problem.cut) & (ledger.item >= 0))
    for user, item, time, weight in zip(*(getattr(ledger, n)[rows] for n in COLUMNS), strict=True):
        at, so_far = liked.setdefault((user, item), (time, False))
        liked[user, item] = (at, so_far or (time == at and weight > 0))
    assert problem.popularity.sum() == sum(found for _, found in liked.values())


def test_the_strata_are_what_they_say(ledger: Ledger) -> None:
    problem = successive(ledger)
    strata = {name: stratum.rows for name, stratum in problem.strata.items()}
    assert (strata["warm"] ^ strata["cold"]).all()
    assert strata["cold"].sum() > 3
    cold = set(problem.test.targets[strata["cold"]])
    assert not cold & set(ledger.item[ledger.time < problem.cut])
    assert (sum(rows.astype(int) for name, rows in strata.items() if name.startswith("kind.")) == 1).all()
    new = [bool(end - start <= 3) for start, end in zip(problem.test.start, problem.test.end, strict=True)]
    assert strata["new_users_full"].tolist() == new


def test_what_comes_after_a_dislike_has_one_among_its_newest_ten_events(ledger: Ledger) -> None:
    window = successive(ledger).test
    weight = np.where(np.arange(len(ledger)) % 40 == 0, -1.0, ledger.weight)
    expected = [
        bool((weight[max(start, end - 10) : end] < 0).any())
        for start, end in zip(window.start, window.end, strict=True)
    ]
    assert {True, False} == set(expected)
    assert comes_after(window, weight < 0).tolist() == expected


def test_leave_one_out_holds_out_the_last_and_the_one_before() -> None:
    rows = [("a", "x", 1), ("a", "y", 2), ("a", "z", 3), ("a", "x", 4), ("b", "x", 1), ("b", "y", 2), ("c", "z", 9)]
    rows += [("d", "x", 1), ("d", "y", 2), ("d", "z", 2), ("d", "w", 3), ("d", "v", 3)]
    users, items, times = zip(*rows, strict=True)
    ledger = make_ledger(
        user_ids=users, item_ids=items, kinds=["view"] * len(rows), texts=[None] * len(rows), times=np.array(times),
        catalogue=["v", "w", "x", "y", "z"], kind_weights={"view": 1.0},
    )  # fmt: skip
    problem = leave_one_out(ledger)
    told = [(ledger.users[ledger.user[row]], ledger.items[ledger.item[row]]) for row in problem.test.rows]
    # Of two at the last moment one is asked for and neither is known; b and c have too short a past.
    assert told[0] == ("a", "z")
    assert len(told) == 2
    assert told[1] in {("d", "v"), ("d", "w")}
    names = [ledger.users[user] for user in ledger.user]
    learnt = [(name, time) for name, time, full in zip(names, ledger.time, problem.full, strict=True) if full]
    assert learnt == [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("c", 9), ("d", 1), ("d", 2), ("d", 2)]
    inner = [(name, time) for name, time, kept in zip(names, ledger.time, problem.inner, strict=True) if kept]
    assert inner == [("a", 1), ("b", 1), ("b", 2), ("c", 9), ("d", 1)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_too_little_is_refused(protocol: object) -> None:
    lone = random_ledger(people=1, events=2)
    with pytest.raises(InputError, match="for the first time"):
        protocol(lone)  # type: ignore[operator]


def test_the_same_seed_draws_the_same_rows(ledger: Ledger) -> None:
    one, two = successive(ledger, 3), successive(ledger, 3)
    np.testing.assert_array_equal(one.test.rows, two.test.rows)


def test_targets_are_told_apart_by_when_somebody_met_them_first(ledger: Ledger) -> None:
    cut, day = (float(moment) for moment in np.quantile(ledger.time, [0.1, 0.3]))
    rows = window_rows(ledger, day, np.inf, 10_000, 7)
    told = {row["targets"]: row for row in newest.parts(as_data(ledger), rows, cut, day, rows * 0.0, rows * 0.0 + 0.5)}
    first = [ledger.time[ledger.item == item].min() for item in ledger.item[rows]]
    since = [cut <= moment < day for moment in first]
    assert 0 < sum(since) < len(rows)
    assert told["met_since"]["count"] == sum(since)
    assert told["met_before_the_cut"]["count"] == sum(moment < cut for moment in first)
    assert told["all"]["count"] == len(rows)
    assert told["met_since"]["difference"]["value"] == 0.5
