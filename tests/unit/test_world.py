"""The world's known right answers are in its events, so a recommender that learns can find them."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.core.world import EXAMPLE_USER, World
from nearline.core.world_catalogue import KINDS
from nearline.core.world_themes import THEMES
from nearline.core.world_themes_chinese import CHINESE, CHINESE_THEMES
from nearline.errors import InputError

UNTIL = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def world() -> World:
    return World(people=200, items=600, days=60, seed=7, until=UNTIL)


@pytest.fixture(scope="module")
def events(world: World) -> list[dict[str, Any]]:
    return list(world.events())


@given(st.integers(1, 8), st.integers(1, 60), st.integers(1, 5), st.integers(0, 2**31 - 1))
@settings(max_examples=25, deadline=None)
def test_the_same_arguments_give_the_same_world(people: int, items: int, days: int, seed: int) -> None:
    one, other = (World(people=people, items=items, days=days, seed=seed, until=UNTIL) for _ in range(2))
    assert list(one.items()) == list(other.items())
    assert list(one.events()) == list(other.events())
    assert [one.next_items(user) for user in one.users()] == [other.next_items(user) for user in other.users()]


def test_another_seed_gives_another_world(events: list[dict[str, Any]]) -> None:
    assert list(World(people=200, items=600, days=60, seed=8, until=UNTIL).events()) != events


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_an_empty_world_is_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="at least 1"):
        World(people=sizes[0], items=sizes[1], days=sizes[2], seed=1, until=UNTIL)


def test_the_vocabulary_is_whole() -> None:
    assert len(THEMES) >= 20
    assert set(CHINESE_THEMES) == set(THEMES)
    assert set(CHINESE) == {name for names in THEMES.values() for name in names}


def test_the_catalogue_is_readable_and_mixed() -> None:
    items = list(World(people=1, items=5000, days=1, seed=7, until=UNTIL).items())
    titles = [item["title"] for item in items]
    assert len(set(titles)) == len(titles)
    assert not any("{" in item["title"] + item["description"] for item in items)
    assert not any("number " in title for title in titles)
    assert {item["kind"] for item in items} == set(KINDS)
    chinese = [item for item in items if item["language"] == "zh"]
    assert 0.09 < len(chinese) / len(items) < 0.15
    assert not any(item["title"].isascii() for item in chinese)


def test_events_are_in_order_and_about_what_is_there(world: World, events: list[dict[str, Any]]) -> None:
    items = {item["item_id"] for item in world.items()}
    times = [event["occurred_at"] for event in events]
    assert times == sorted(times)
    assert times[-1] < UNTIL
    assert {event["user_id"] for event in events} <= set(world.users())
    for event in events:
        assert event["text"] if event["kind"] == "search" else event["item_id"] in items
    assert {"view", "click", "search", "play", "like", "cart", "purchase", "comment", "return"} <= {
        event["kind"] for event in events
    }


def test_people_follow_their_tastes_and_the_trails(world: World, events: list[dict[str, Any]]) -> None:
    seen: dict[str, list[str]] = defaultdict(list)
    fitting = total = 0
    for event in events:
        if event["kind"] in ("view", "click", "play"):
            tastes = {taste.subtopic for taste in world.taste_of(event["user_id"], event["occurred_at"])}
            fitting += world.subtopic_of(event["item_id"]) in tastes
            total += 1
            seen[event["user_id"]].append(event["item_id"])
    assert fitting / total > 0.8
    moves = Counter(world.successor_of(one) == other for ids in seen.values() for one, other in pairwise(ids))
    assert moves[True] / moves.total() > 0.35


def test_popularity_has_a_long_tail(events: list[dict[str, Any]]) -> None:
    counts = sorted(Counter(event["item_id"] for event in events if event["item_id"]).values(), reverse=True)
    assert sum(counts[: len(counts) // 5]) > 0.3 * sum(counts)


def test_what_comes_next_is_held_out(world: World, events: list[dict[str, Any]]) -> None:
    seen: dict[str, set[str]] = defaultdict(set)
    for event in events:
        seen[event["user_id"]].add(event["item_id"])
    answers = {user: world.next_items(user) for user in world.users()}
    assert sum(map(bool, answers.values())) > len(answers) / 2
    assert not any(seen[user] & set(items) for user, items in answers.items())


def test_the_example_person(world: World, events: list[dict[str, Any]]) -> None:
    did = [event for event in events if event["user_id"] == EXAMPLE_USER]
    assert [(event["kind"], event["item_id"]) for event in did] == [
        ("view", "page-1"),
        ("view", "page-2"),
        ("view", "page-3"),
        ("search", None),
        ("search", None),
        ("purchase", "item-6"),
    ]
    titles = {item["item_id"]: item["title"] for item in world.items()}
    assert "grinder" in did[3]["text"]
    assert "grinder" in titles["product-4"]
    assert "portafilter" in did[4]["text"]
    assert "portafilter" in titles["product-5"]
    fitting = Counter(item.split("-")[0] for item in world.next_items(EXAMPLE_USER))
    assert min(fitting[kind] for kind in ("page", "product", "item")) >= 3
    assert {world.subtopic_of(item) for item in world.next_items(EXAMPLE_USER)} == {"espresso grinding"}
