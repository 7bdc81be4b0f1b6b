"""What people say of their own interests: shown, effective at the next query, taken back, and nobody else's."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from nearline.adapters.postgres import Connection, connect
from nearline.settings import Settings
from small_shop import ITEMS, open_shop


@pytest.fixture
def shop(connection: Connection) -> Connection:
    """Two people who like hiking a little more than baking, and a catalogue with topics."""
    ledger = open_shop(connection)
    for item in ITEMS:
        theme, kind, number = item.split("-")
        attributes = {"theme": theme, "tags": [f"no. {number}", "everybody"], "odd: name": f"{kind}: x"}
        connection.execute(
            "update nearline_data.item set attributes = %s, language = 'en' where item_id = %s",
            (json.dumps(attributes), item),
        )
    connection.execute("select nearline_data._refresh_topics()")
    for user in ("u", "v"):
        connection.execute("select nearline.record_event(%s, 'view', 'hiking-page-1')", (user,))
    ledger.catch_up()
    return connection


def say(connection: Connection, topic: str | None, weight: float | None, user: str = "u") -> Any:
    ((before,),) = connection.execute("select nearline.set_interest(%s, %s, %s)", (user, topic, weight)).fetchall()
    return before


def list_of(connection: Connection, user: str = "u", count: int = 30) -> list[tuple[str, float]]:
    call = "select item_id, score from nearline.recommend(%s, %s)"
    return connection.execute(call, (user, count)).fetchall()


def shown(connection: Connection, user: str = "u", most: int = 10) -> dict[str, tuple[float | None, float | None]]:
    rows = connection.execute("select topic, weight, stated from nearline.interests(%s, %s)", (user, most)).fetchall()
    return {topic: (weight, stated) for topic, weight, stated in rows}


def test_more_and_less_count_at_the_next_query_and_for_nobody_else(shop: Connection) -> None:
    before = list_of(shop)
    of_other = list_of(shop, "v")
    assert before == of_other
    for weight in (1.0, 0.25, -0.25):
        say(shop, "theme: baking", weight)
        scores, were = dict(list_of(shop)), dict(before)
        assert scores.keys() == were.keys()
        for item, score in scores.items():
            moved = 2 * weight if item.startswith("baking") else 0
            assert score == pytest.approx(were[item] + moved, abs=1e-4), item
        ranks = [score for _, score in list_of(shop)]
        assert ranks == sorted(ranks, reverse=True)
        assert list_of(shop, "v") == of_other
    assert say(shop, "theme: baking", 0) == -0.25
    assert list_of(shop) == before


@pytest.mark.parametrize(
    ("topic", "goes"),
    [
        ("theme: hiking", lambda item: item.startswith("hiking")),
        ("kind: page", lambda item: "-page-" in item),
        ("tags: no. 2", lambda item: item.endswith("-2")),
        ("odd: name: page: x", lambda item: "-page-" in item),
        ("language: en", lambda item: True),
    ],
)
def test_what_is_never_wanted_is_in_no_list(shop: Connection, topic: str, goes: Any) -> None:
    before = list_of(shop)
    left = [item for item in ITEMS if not goes(item) and item != "hiking-page-1"]
    say(shop, topic, -1)
    assert {item for item, _ in list_of(shop)} == set(left)
    for count in (1, 3, 5):
        found = [item for item, _ in list_of(shop, count=count)]
        assert found == [item for item, _ in before if item in left][:count], "a full list of what is left"
    per_kind = shop.execute("select item_id from nearline.recommend_per_kind('u', 5)").fetchall()
    many = shop.execute("select item_id from nearline.recommend_for_many(array['u'], 30)").fetchall()
    for rows in (per_kind, many):
        assert {item for (item,) in rows} <= set(left)
    assert {item for (item,) in many} == set(left)
    assert say(shop, topic, 0) == -1
    assert list_of(shop) == before


def test_somebody_without_a_history_may_say_what_they_like(shop: Connection) -> None:
    shop.execute("select nearline.record_event('other', 'purchase', 'baking-item-1')")
    shop.execute("select nearline_data._refresh_popularity()")
    before = list_of(shop, "new")
    say(shop, "theme: baking", -1, "new")
    assert before
    assert {item.split("-")[0] for item, _ in list_of(shop, "new")} <= {"hiking"}
    say(shop, "theme: baking", 0, "new")
    assert list_of(shop, "new") == before


def test_they_see_what_they_said(shop: Connection) -> None:
    believed = shown(shop)
    assert believed["theme: hiking"][1] is None
    assert say(shop, "theme: hiking", -0.5) is None
    assert say(shop, "kind: item", 0.5) is None
    assert say(shop, "theme: hiking", -1) == -0.5
    assert shown(shop)["theme: hiking"] == (believed["theme: hiking"][0], -1)
    assert shown(shop)["kind: item"] == (None, 0.5), "not believed, yet said"
    assert {topic for topic, (weight, _) in shown(shop).items() if weight is not None} == believed.keys()
    assert set(shown(shop, most=0)) == {"theme: hiking", "kind: item"}
    assert shown(shop, "v") == believed
    assert say(shop, "theme: hiking", 0) == -1
    assert say(shop, "kind: item", 0) == 0.5
    assert say(shop, "kind: item", 0) is None
    assert shown(shop) == believed


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "you asked for more of theme: baking"),
        ("de", "Sie wollten mehr von theme: baking"),
        ("fr", "vous avez demandé plus de theme: baking"),
        ("es", "ha pedido más de theme: baking"),
        ("zh", "您希望多看到 theme: baking"),
        ("nl", "you asked for more of theme: baking"),
    ],
)
def test_it_is_a_reason_in_the_language_that_they_read(shop: Connection, language: str, said: str) -> None:
    shop.execute("insert into nearline_data.reason_language values ('nl', 'past bij u', 'populair')")
    shop.execute("update nearline_data.item set language = %s", (language,))
    say(shop, "theme: baking", 1)
    event = '[{"kind": "view", "item_id": "hiking-page-1"}]'
    for call, user in (
        ("nearline.recommend('u', 30)", None),
        ("nearline.recommend_for_session(%s, 30, of_session => 'u')", event),
    ):
        rows = shop.execute(
            f"select item_id, reason ->> 'text', reason -> 'rules' from {call}".encode(), user and (user,)
        ).fetchall()
        moved = [(text, rules) for item, text, rules in rows if item.startswith("baking")]
        assert moved
        assert all(one == (said, ["stated theme: baking"]) for one in moved)
        assert not any(rules for item, _, rules in rows if item.startswith("hiking"))


def test_what_the_catalogue_has_no_more_can_be_taken_back(shop: Connection) -> None:
    say(shop, "theme: baking", 1)
    shop.execute("delete from nearline_data.topic where value = 'baking'")
    assert say(shop, "theme: baking", 0) == 1
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        say(shop, "theme: baking", 0)


@pytest.mark.parametrize(
    ("topic", "weight", "user", "said", "hint"),
    [
        ("theme: bakin", 1, "u", "topic is 'theme: bakin', which the catalogue does not have", "theme: baking, "),
        ("Baking", 1, "u", "topic is 'Baking', which the catalogue does not have", "theme: baking, "),
        (None, 1, "u", "topic is null, which the catalogue does not have", "language: en"),
        ("'; drop table nearline_data.item; --", 1, "u", "topic is '''; drop table", "Those that read most like it"),
        ("theme: baking", 1.01, "u", "weight is 1.01, expected a number from -1 to 1", "-1 means never"),
        ("theme: baking", float("nan"), "u", "weight is NaN", "-1 means never"),
        ("theme: baking", None, "u", "weight is null", "-1 means never"),
        ("theme: baking", 1, "", "of_user is ''", "the id used in events"),
        ("theme: baking", 1, "x" * 501, "of_user is 'xxx", "at most 500 characters"),
        ("theme: baking", 1, "☃" * 334, "of_user is '☃☃☃", "and 1000 bytes"),
    ],
)
def test_what_cannot_be_meant_is_said_with_the_fix(
    shop: Connection, topic: str | None, weight: float | None, user: str, said: str, hint: str
) -> None:
    with pytest.raises(psycopg.Error) as caught:
        say(shop, topic, weight, user)
    assert caught.value.sqlstate == "22023"
    assert (caught.value.diag.message_primary or "").startswith(said)
    assert hint in (caught.value.diag.message_hint or "")
    assert shop.execute("select count(*) from nearline_data.stated_interest").fetchone() == (0,)


def test_next_to_nothing_is_next_to_nothing(shop: Connection) -> None:
    before = list_of(shop)
    for weight in (5e-324, -1e-320):
        say(shop, "theme: baking", weight)
        assert dict(list_of(shop)) == pytest.approx(dict(before))


def test_nobody_says_something_of_everything(shop: Connection) -> None:
    shop.execute("insert into nearline_data.stated_interest select 'u', 'a', n::text, 1 from generate_series(1, 100) n")
    with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="'u' has said something of 100 topics"):
        say(shop, "theme: baking", 1)
    assert say(shop, "a: 7", -1) == 1, "what was said may still be changed"
    assert say(shop, "a: 7", 0) == -1
    assert say(shop, "theme: baking", 1) is None


def test_a_writer_may_say_it_and_forgetting_a_person_forgets_it(settings: Settings, shop: Connection) -> None:
    before = list_of(shop, "v")
    with connect(settings, role="nearline_writer", autocommit=True) as writer:
        say(writer, "theme: baking", 1)
        say(writer, "theme: hiking", -1, "v")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            writer.execute("select * from nearline_data.stated_interest")
    with connect(settings, role="nearline_reader") as reader, pytest.raises(psycopg.errors.InsufficientPrivilege):
        say(reader, "theme: baking", 1)
    shop.execute("select nearline.erase_user('v')")
    assert shop.execute("select user_id, attribute, value, weight from nearline_data.stated_interest").fetchall() == [
        ("u", "theme", "baking", 1.0)
    ]
    shop.execute("select nearline.record_event('v', 'view', 'hiking-page-1')")
    assert {item for item, _ in list_of(shop, "v")} == {item for item, _ in before}
