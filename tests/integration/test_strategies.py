"""Strategies as rows: what each weight does to a list, and who gets which."""

from __future__ import annotations

from collections import Counter
from typing import Any

import psycopg
import pytest

from nearline.adapters.postgres import Connection
from small_shop import ITEMS, open_shop

FIRST = "hiking-page-1"


@pytest.fixture
def shop(connection: Connection) -> Connection:
    """A person who likes hiking, a popular baking item, and one that the catalogue learnt of just now."""
    ledger = open_shop(connection)
    connection.execute("select nearline.record_event('u', 'view', %s)", (FIRST,))
    for user in ("v", "w", "x"):
        connection.execute("select nearline.record_event(%s, 'purchase', 'baking-item-2')", (user,))
    connection.execute("select nearline_data._refresh_popularity()")
    connection.execute("update nearline_data.item set created_at = now() - interval '300 days'")
    connection.execute("update nearline_data.item set created_at = now() where item_id = 'baking-page-3'")
    ledger.catch_up()
    return connection


def strategy(connection: Connection, name: str, **weights: Any) -> None:
    columns = ", ".join(["name", *weights])
    connection.execute(
        f"insert into nearline_data.strategy ({columns}) values ({', '.join(['%s'] * (1 + len(weights)))})",
        (name, *weights.values()),
    )


def list_of(connection: Connection, by: str | None, user: str = "u", count: int = 30) -> list[str]:
    return [
        item
        for (item,) in connection.execute(
            "select item_id from nearline.recommend(%s, %s, strategy => %s)", (user, count, by)
        ).fetchall()
    ]


def test_the_default_is_as_trained_and_can_be_changed_for_everybody(shop: Connection) -> None:
    assert list_of(shop, None) == list_of(shop, "default")
    shop.execute("update nearline_data.strategy set popular_weight = 100 where name = 'default'")
    assert list_of(shop, None)[0] == "baking-item-2"


def test_each_weight_does_what_its_comment_says(shop: Connection) -> None:
    strategy(shop, "popular", popular_weight=100)
    strategy(shop, "fresh", fresh_weight=100, fresh_days=2)
    strategy(shop, "what follows", interest_weight=0)
    strategy(shop, "what is meant", transition_weight=0)
    assert list_of(shop, "popular")[0] == "baking-item-2"
    assert list_of(shop, "fresh")[0] == "baking-page-3"
    assert list_of(shop, "what follows")[0] == "hiking-page-2", "the only successor"
    scores = dict(shop.execute("select item_id, score from nearline.recommend('u', 30)").fetchall())
    meant = dict(
        shop.execute("select item_id, score from nearline.recommend('u', 30, strategy => 'what is meant')").fetchall()
    )
    differ = {item: scores[item] - meant[item] for item in scores if scores[item] - meant[item] > 1e-6}
    assert differ == {"hiking-page-2": pytest.approx(0.5)}, "the model's own weight"
    assert set(list_of(shop, "popular")) == set(ITEMS) - {FIRST}, "nothing twice, nothing that was seen"


def test_what_a_strategy_asks_for_is_found_however_far_it_is_from_a_person(shop: Connection) -> None:
    strategy(shop, "popular", popular_weight=100)
    strategy(shop, "fresh", fresh_weight=100, fresh_days=2)
    shop.execute(
        "insert into nearline_data.item (item_id, kind, title, created_at)"
        " select 'near-' || n, 'page', 'Near', now() - interval '300 days' from generate_series(1, 60) n"
    )
    shop.execute(
        "insert into nearline_data.item_embedding (model_version, item_id, kind, vector)"
        " select 1, 'near-' || n, 'page', v.vector from generate_series(1, 60) n, nearline_data.item_embedding v"
        " where v.item_id = %s",
        (FIRST,),
    )
    assert list_of(shop, None, count=25) == list_of(shop, "default", count=25)
    assert "baking-item-2" not in list_of(shop, None, count=50)
    assert list_of(shop, "popular", count=1) == ["baking-item-2"]
    assert list_of(shop, "fresh", count=1) == ["baking-page-3"]


@pytest.fixture
def crowd(shop: Connection) -> Connection:
    """Sixty items that are near the person, and sixty more popular and newer than all others: of price 1, not 5."""
    shop.execute("update nearline_data.item set attributes = '{\"price\": 5}'")
    shop.execute(
        """insert into nearline_data.item (item_id, kind, title, attributes, created_at)
           select i.name || n, 'page', i.name || n, jsonb_build_object('price', i.price), now() + i.age
           from (values ('near-', 5, interval '-300 days'), ('first-', 1, interval '1 minute')) as i (name, price, age)
           cross join generate_series(1, 60) n"""
    )
    shop.execute(
        """insert into nearline_data.item_embedding (model_version, item_id, kind, vector)
           select 1, 'near-' || n, 'page', v.vector from generate_series(1, 60) n, nearline_data.item_embedding v
           where v.item_id = %s""",
        (FIRST,),
    )
    shop.execute(
        """insert into nearline_data.item_popularity (item_id, kind, score)
           select 'first-' || n, 'page', 16 from generate_series(1, 60) n
           union all select 'near-' || n, 'page', 1.0 / n from generate_series(1, 12) n"""
    )
    strategy(shop, "popular", popular_weight=100)
    strategy(shop, "fresh", fresh_weight=100, fresh_days=2)
    return shop


@pytest.mark.parametrize("gone", ["seen", "withdrawn", "does not match", "does not match the few", "is blocked"])
def test_what_may_be_in_no_list_does_not_take_the_place_of_what_a_strategy_asks_for(
    crowd: Connection, gone: str
) -> None:
    first = [f"first-{number}" for number in range(1, 61)]
    assert list_of(crowd, "popular", count=1)[0] in first
    assert list_of(crowd, "fresh", count=1)[0] in first
    matching = None
    if gone == "seen":
        for item in first:
            crowd.execute("select nearline.record_event('u', 'view', %s)", (item,))
    elif gone == "withdrawn":
        crowd.execute("update nearline_data.item set is_active = false where item_id = any (%s)", (first,))
    elif gone == "does not match":
        matching = '{"price": {"from": 5}}'
    elif gone == "does not match the few":
        crowd.execute("update nearline_data.model_version set item_count = 10000")  # what 200 match is looked up
        matching = '{"price": 5}'
    else:
        crowd.execute(
            """insert into nearline_data.rule (name, action, matching) values ('dear only', 'block', '{"price": 1}')"""
        )
    for by, best in (("popular", "baking-item-2"), ("fresh", "baking-page-3")):
        call = "select item_id from nearline.recommend('u', 1, matching => %s, strategy => %s)"
        assert crowd.execute(call, (matching, by)).fetchall() == [(best,)]


def test_a_list_of_a_strategy_is_as_long_as_the_default_for_whom_nothing_is_known(crowd: Connection) -> None:
    crowd.execute("update nearline_data.model_version set newcomer_interest = null")
    call = """select item_id, shortfall
              from nearline.recommend('nobody', 10, matching => '{"price": {"from": 5}}', strategy => %s)"""
    for by in ("default", "popular", "fresh"):
        found = crowd.execute(call, (by,)).fetchall()
        assert len(found) == 10, by
        assert all(why is None and "first" not in item for item, why in found)
        assert (found[0][0] == "baking-page-3") == (by == "fresh")


def test_what_follows_goes_on_with_what_is_popular_where_nothing_else_is_known(shop: Connection) -> None:
    shop.execute("update nearline_data.model_version set newcomer_interest = null")
    shop.execute("insert into nearline_data.item_transition values (1, 'not known', 'hiking-page-4', 0.9)")
    shop.execute("select nearline.record_event('n', 'view', 'not known')")
    found = shop.execute("select item_id, score from nearline.recommend('n', 5)").fetchall()
    assert [item for item, _ in found] == ["hiking-page-4", "baking-item-2", FIRST]
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    for place, (item, score) in enumerate(found, 1):
        call = "select rank, score from nearline.explain('n', %s) where event_id is null"
        assert shop.execute(call, (item,)).fetchall() == [(place, score)]


def test_exploration_draws_among_what_is_near(crowd: Connection) -> None:
    strategy(crowd, "random", exploration=1000)
    crowd.execute(
        """update nearline_data.model_version m set newcomer_interest = v.vector
           from nearline_data.item_embedding v where v.item_id = %s""",
        (FIRST,),
    )
    found = {list_of(crowd, "random", f"person {number}", 1)[0] for number in range(20)}
    assert len(found) > 5
    assert {item.split("-")[0] for item in found} <= {"near", "hiking"}


def test_the_default_stays_and_can_be_changed(shop: Connection) -> None:
    strategy(shop, "other")
    for change in (
        "delete from nearline_data.strategy",
        "delete from nearline_data.strategy where name = 'default'",
        "update nearline_data.strategy set name = 'standard' where name = 'default'",
    ):
        with pytest.raises(
            psycopg.errors.ObjectNotInPrerequisiteState, match=r"'default' is to be (deleted|renamed)"
        ) as no:
            shop.execute(change.encode())
        assert no.value.diag.message_hint
    shop.execute("update nearline_data.strategy set name = 'default', diversity = 0.1 where name = 'default'")
    shop.execute("update nearline_data.strategy set name = 'another' where name = 'other'")
    shop.execute("delete from nearline_data.strategy where name = 'another'")
    assert shop.execute("select name, diversity from nearline_data.strategy").fetchall() == [
        ("default", pytest.approx(0.1))
    ]


def test_an_arm_without_a_strategy_is_warned_of(shop: Connection) -> None:
    said: list[str | None] = []
    shop.add_notice_handler(lambda diagnostic: said.append(diagnostic.message_primary))
    strategy(shop, "fresh", fresh_weight=1)
    shop.execute(
        """with new as (insert into nearline_data.experiment (name) values ('x') returning name)
           insert into nearline_data.experiment_arm (experiment, strategy, share, is_control)
           select new.name, arm.* from new
           cross join (values ('default', 0.4, true), ('fresh', 0.4, false), ('fresch', 0.2, false)) as arm"""
    )
    says = "arm 'fresch' of experiment 'x' has no row of nearline_data.strategy: its lists are those of \"default\""
    assert said == [says]
    shop.execute("delete from nearline_data.experiment")
    assert said == [says]


def test_exploration_draws_lists_that_hold_for_an_hour(shop: Connection) -> None:
    strategy(shop, "curious", exploration=0.3)
    strategy(shop, "random", exploration=1000)
    assert list_of(shop, "random") == list_of(shop, "random")
    first = Counter()
    for number in range(60):
        user = f"person {number}"
        shop.execute("select nearline.record_event(%s, 'view', %s)", (user, FIRST))
        first[list_of(shop, "random", user, 5)[0]] += 1
        assert list_of(shop, "curious", user, 1)[0].startswith("hiking"), "some chance does not outweigh what is known"
    assert len(first) > 10, first


def test_chances_are_the_same_whatever_the_time_zone_of_who_asks(shop: Connection) -> None:
    strategy(shop, "random", exploration=1000)
    with shop.transaction():  # one hour
        lists = []
        for zone, style in (("UTC", "ISO"), ("Asia/Kathmandu", "SQL, DMY"), ("America/New_York", "German")):
            shop.execute(f"set local timezone = '{zone}'; set local datestyle = '{style}'".encode())
            lists.append(list_of(shop, "random"))
    assert lists[0] == lists[1] == lists[2]


def test_a_strategy_can_be_diverse_and_a_call_may_say_otherwise(shop: Connection) -> None:
    strategy(shop, "diverse", diversity=0.8)
    call = "select item_id from nearline.recommend('u', 4, strategy => 'diverse', diversity => %s)"
    assert {item.split("-")[0] for (item,) in shop.execute(call, (None,)).fetchall()} == {"hiking", "baking"}
    assert {item.split("-")[0] for (item,) in shop.execute(call, (0,)).fetchall()} == {"hiking"}


def test_people_get_the_strategy_of_their_arm(shop: Connection) -> None:
    strategy(shop, "popular", popular_weight=100)
    shop.execute(
        """with new as (insert into nearline_data.experiment (name) values ('x') returning name)
           insert into nearline_data.experiment_arm (experiment, strategy, share, is_control)
           select new.name, arm.* from new
           cross join (values ('default', 0.4, true), ('popular', 0.4, false), ('of our own', 0.2, false)) as arm"""
    )
    call = "select item_id, strategy_used from nearline.{}"
    users = [f"u{number}" for number in range(30)]
    met = set()
    for user in users:
        shop.execute("select nearline.record_event(%s, 'view', %s)", (user, FIRST))
        ((item, used),) = shop.execute(call.format("recommend(%s, 1)"), (user,)).fetchall()
        assert (used,) == shop.execute("select nearline.strategy_of(%s)", (user,)).fetchone()
        assert (item == "baking-item-2") == (used == "popular")
        met.add(used)
    assert met == {"default", "popular", "of our own"}
    many = shop.execute("select user_id, strategy_used from nearline.recommend_for_many(%s, 1)", (users,)).fetchall()
    assert all((used,) == shop.execute("select nearline.strategy_of(%s)", (user,)).fetchone() for user, used in many)
    kinds = shop.execute(call.format("recommend_per_kind('u', 1, strategy => 'popular')")).fetchall()
    assert ("baking-item-2", "popular") in kinds
    session = """recommend_for_session('[{"kind": "view", "item_id": "hiking-page-1"}]', 1, strategy => 'popular')"""
    assert shop.execute(call.format(session)).fetchall() == [("baking-item-2", "popular")]


def test_sessions_get_the_strategy_of_their_arm_and_are_counted_for_it(shop: Connection) -> None:
    strategy(shop, "popular", popular_weight=100)
    shop.execute(
        """with new as (insert into nearline_data.experiment (name) values ('x') returning name)
           insert into nearline_data.experiment_arm (experiment, strategy, share, is_control)
           select new.name, arm.* from new cross join (values ('default', 0.5, true), ('popular', 0.5, false)) as arm"""
    )
    call = "select item_id, request_id, model_version, strategy_used from nearline.recommend_for_session(%s, 1{})"
    events = '[{"kind": "view", "item_id": "hiking-page-1"}]'
    used: Counter[str] = Counter()
    for session in (f"session {number}" for number in range(40)):
        named = call.format(", of_session => %s")
        ((item, request, version, made_by),) = shop.execute(named, (events, session)).fetchall()
        assert (made_by,) == shop.execute("select nearline.strategy_of(%s)", (session,)).fetchone()
        assert (item == "baking-item-2") == (made_by == "popular")
        shop.execute(
            "select nearline.record_exposure(%s, %s, %s, with_strategy => %s, from_version => %s)",
            (request, session, [item], made_by, version),
        )
        used[made_by] += 1
    assert min(used["default"], used["popular"]) > 5
    counted = shop.execute(
        "select strategy, people, exposures_of_other_strategies from nearline.experiment_result('x')"
    ).fetchall()
    assert counted == [("default", used["default"], 0), ("popular", used["popular"], 0)]
    assert [used for *_, used in shop.execute(call.format(""), (events,)).fetchall()] == ["default"]


def test_each_session_has_chances_of_its_own(shop: Connection) -> None:
    strategy(shop, "random", exploration=1000)
    call = "select item_id from nearline.recommend_for_session(%s, 5, strategy => 'random', of_session => %s)"
    events = '[{"kind": "view", "item_id": "hiking-page-1"}]'
    first = {shop.execute(call, (events, f"session {number}")).fetchall()[0] for number in range(30)}
    assert len(first) > 5


def test_a_strategy_that_is_not_there_is_named_with_those_that_are(shop: Connection) -> None:
    with pytest.raises(
        psycopg.errors.InvalidParameterValue, match="strategy is 'fresch', expected one of: default"
    ) as no:
        list_of(shop, "fresch")
    assert no.value.diag.message_hint
