"""Business rules as rows: what each does to a list, for whom and when, and what a dry run says of it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import psycopg
import pytest

from nearline.adapters.postgres import Connection, connect
from nearline.core.interest import DIM
from nearline.settings import Settings
from small_shop import ITEMS, THEMES, open_shop

FIRST = "hiking-page-1"
SELLERS = ("Tern", "Oakhurst", "Lund")


@pytest.fixture
def shop(connection: Connection) -> Connection:
    """Two people who like hiking, and items with sellers, of which every fourth has none, and languages."""
    ledger = open_shop(connection)
    for place, item in enumerate(ITEMS):
        attributes = {"price": 10 * place, "tags": ["new", f"tag {place % 2}"]}
        if place % 4:
            attributes["seller"] = SELLERS[place % 3]
        connection.execute(
            "update nearline_data.item set attributes = %s, language = %s where item_id = %s",
            (json.dumps(attributes), "en-GB" if place % 2 else None, item),
        )
    for user in ("u", "v"):
        connection.execute("select nearline.record_event(%s, 'view', %s)", (user, FIRST))
    ledger.catch_up()
    return connection


def rule(connection: Connection, name: str, action: str, **columns: Any) -> None:
    values = {"name": name, "action": action, **columns}
    connection.execute(
        f"insert into nearline_data.rule ({', '.join(values)}) values ({', '.join(['%s'] * len(values))})".encode(),
        [json.dumps(value) if isinstance(value, dict) else value for value in values.values()],
    )


def list_of(connection: Connection, count: int = 30, user: str = "u", **arguments: Any) -> list[str]:
    more = "".join(f", {name} => %s" for name in arguments)
    return [
        item
        for (item,) in connection.execute(
            f"select item_id from nearline.recommend(%s, %s{more})".encode(), (user, count, *arguments.values())
        ).fetchall()
    ]


def seller_of(item: str) -> str | None:
    return SELLERS[ITEMS.index(item) % 3] if ITEMS.index(item) % 4 else None


def test_a_block_takes_items_out_of_every_list(shop: Connection) -> None:
    before = list_of(shop)
    rule(shop, "recalled", "block", matching={"seller": "Tern"}, item_kinds=["page", "item"])
    rule(shop, "withdrawn", "block", item_ids=["hiking-product-1"])
    gone = {item for item in ITEMS if seller_of(item) == "Tern" and "product" not in item} | {"hiking-product-1"}
    left = [item for item in before if item not in gone]
    assert list_of(shop) == left
    assert list_of(shop, 5) == left[:5]
    assert set(list_of(shop, matching='{"price": {"above": 50}}')) == {i for i in left if ITEMS.index(i) > 5}
    for call in (
        "recommend_per_kind('u', 30)", "recommend_for_many(array['u', 'nobody'], 30)",
        """recommend_for_session('[{"kind": "view", "item_id": "hiking-page-1"}]', 30)""",
    ):  # fmt: skip
        found = {item for (item,) in shop.execute(f"select item_id from nearline.{call}".encode()).fetchall()}
        assert found >= set(left), call
        assert not found & gone, call


def test_what_is_blocked_for_everybody_is_not_similar_and_not_trending(shop: Connection) -> None:
    for item in ("hiking-page-2", "hiking-item-1", "hiking-product-3"):
        shop.execute("select nearline.record_event('v', 'view', %s)", (item,))

    def found(call: str) -> set[str]:
        return {item for (item,) in shop.execute(f"select item_id from nearline.{call}".encode()).fetchall()}

    similar, trending = found("similar_items('hiking-page-1', 30)"), found("trending()")
    assert {"hiking-page-2", "hiking-item-1", "hiking-product-3"} <= similar & trending
    rule(shop, "club", "block", item_ids=["hiking-page-2"], for_audience="club")
    rule(shop, "arm", "block", item_ids=["hiking-page-2"], for_strategies=["default"])
    rule(shop, "later", "block", item_ids=["hiking-page-2"], valid_from="2999-01-01")
    rule(shop, "draft", "block", item_ids=["hiking-page-2"], is_draft=True)
    assert (found("similar_items('hiking-page-1', 30)"), found("trending()")) == (similar, trending)
    rule(shop, "recalled", "block", item_ids=["hiking-item-1"])
    assert found("similar_items('hiking-page-1', 30)") == similar - {"hiking-item-1"}
    assert found("trending()") == trending - {"hiking-item-1"}
    rule(shop, "no products", "block", item_kinds=["product"])
    assert found("similar_items('hiking-page-1', 30)") == {i for i in similar if "product" not in i} - {"hiking-item-1"}
    assert found("trending()") == {i for i in trending if "product" not in i} - {"hiking-item-1"}
    assert len(found("similar_items('hiking-page-1', 5)")) == 5


def test_a_list_of_which_all_is_blocked_says_so(shop: Connection) -> None:
    rule(shop, "closed", "block", item_kinds=["page", "product"])
    rows = shop.execute("select item_id, shortfall from nearline.recommend('u', 9)").fetchall()
    assert len(rows) == 8
    assert all("item" in item for item, _ in rows)
    says = "8 of 9: no other active item that the person has not seen and that the rules allow"
    assert {why for _, why in rows} == {says}
    rule(shop, "closed for good", "block", item_kinds=["item"])
    assert list_of(shop) == []


def test_a_boost_brings_up_what_was_out_of_reach_and_a_bury_puts_it_down(shop: Connection) -> None:
    before = list_of(shop, 5)
    assert all(item.startswith("hiking") for item in before)
    rule(shop, "bake", "boost", item_ids=["baking-page-3"], strength=200)
    rule(shop, "Tern first", "boost", matching={"seller": "Tern"}, strength=100)
    after = list_of(shop, 5)
    assert after[0] == "baking-page-3"
    assert {seller_of(item) for item in after[1:]} == {"Tern"}
    shop.execute("delete from nearline_data.rule")
    rule(shop, "no hiking", "bury", matching={"price": {"below": 120}}, strength=50)
    assert all(item.startswith("baking") for item in list_of(shop, 5))
    assert set(list_of(shop)) == set(ITEMS) - {FIRST}, "it is still in the list, at its end"


def test_a_cap_holds_for_each_value_and_not_for_items_without(shop: Connection) -> None:
    before = list_of(shop)
    rule(shop, "fair", "cap", per="seller", at_most=1)
    found = list_of(shop)
    assert found == [
        item
        for place, item in enumerate(before)
        if seller_of(item) is None or seller_of(item) not in map(seller_of, before[:place])
    ]
    why = shop.execute("select distinct shortfall from nearline.recommend('u', 30)").fetchall()
    says = "no other active item that the person has not seen and that the rules allow"
    assert why == [(f"{len(found)} of 30: {says}",)]
    shop.execute("update nearline_data.rule set per = 'tags', at_most = 2")
    assert len(list_of(shop)) == 2, "each has the tag that is everywhere"
    shop.execute("update nearline_data.rule set per = 'kind', at_most = 3")
    assert sorted(item.split("-")[1] for item in list_of(shop)) == ["item"] * 3 + ["page"] * 3 + ["product"] * 3
    diverse = list_of(shop, diversity=0.7)
    assert sorted(item.split("-")[1] for item in diverse) == ["item"] * 3 + ["page"] * 3 + ["product"] * 3
    assert {item.split("-")[0] for item in diverse} == {"hiking", "baking"}


def test_a_cap_looks_further_than_the_nearest(shop: Connection) -> None:
    """Two hundred items of one seller stand before what fills the list."""
    shop.execute(
        """insert into nearline_data.item (item_id, kind, title, attributes)
           select 'mass' || n, 'page', 'Mass ' || n, '{"seller": "Mass"}' from generate_series(1, 200) n"""
    )
    shop.execute(
        """insert into nearline_data.item_embedding
           select 1, 'mass' || n, 'page', e.vector * array_fill((2 + n / 1e4)::real, array[128])::vector
           from generate_series(1, 200) n, nearline_data.item_embedding e where e.item_id = 'hiking-page-1'"""
    )
    assert all(item.startswith("mass") for item in list_of(shop, 6))
    rule(shop, "fair", "cap", per="seller", at_most=1)
    found = list_of(shop, 6)
    assert found[0] == "mass200"
    assert len(found) == 6
    assert all(item.startswith("hiking") for item in found[1:])


@pytest.mark.parametrize("of_items", [960, 20_000])
def test_a_cap_looks_past_one_group_after_the_other(shop: Connection, of_items: int) -> None:
    """Twelve brands whose items stand together, as they often do: each that is reached is full with its first."""
    shop.execute("update nearline_data.item set is_active = false")
    shop.execute(
        """insert into nearline_data.item (item_id, kind, title, attributes)
           select format('b%s-%s', b, n), 'page', 'B', jsonb_build_object('brand', b)
           from generate_series(1, 12) b, generate_series(1, 80) n"""
    )
    # Apart in what the person says nothing of, or the index would not lead from one to the next.
    vectors = np.random.default_rng(5).normal(size=(12, 80, DIM)).astype(np.float32)
    vectors[:, :, : len(THEMES) + len(ITEMS)] = 0
    with shop.cursor() as cursor:
        for brand, number in np.ndindex(12, 80):
            vectors[brand, number, 0] = 30 - brand - number / 1e3
            cursor.execute(
                "insert into nearline_data.item_embedding values (1, %s, 'page', %s)",
                (f"b{brand + 1}-{number + 1}", vectors[brand, number]),
            )
    shop.execute("update nearline_data.model_version set item_count = %s", (of_items,))
    rule(shop, "fair", "cap", per="brand", at_most=1)
    found = list_of(shop, 10)
    assert [item.split("-")[0] for item in found] == [f"b{brand}" for brand in range(1, 11)]
    if of_items == 960:  # all are read, and the index misses none
        assert found == [f"b{brand}-1" for brand in range(1, 11)]
        shop.execute("update nearline_data.rule set at_most = 2")
        assert list_of(shop, 13) == [f"b{1 + n // 2}-{1 + n % 2}" for n in range(13)]
        rows = shop.execute("select item_id, shortfall from nearline.recommend('u', 30)").fetchall()
        assert len(rows) == 24
        assert rows[0][1] == "24 of 30: no other active item that the person has not seen and that the rules allow"


def test_a_pin_stands_where_it_is_told_if_the_person_may_see_it(shop: Connection) -> None:
    rule(shop, "a", "pin", item_ids=["baking-page-2", FIRST, "no such item", "baking-item-1"], at_position=2)
    rule(shop, "b", "pin", item_ids=["baking-page-4"], at_position=2)
    rule(shop, "late", "pin", item_ids=["baking-product-1"], at_position=900)
    found = list_of(shop, 6)
    assert found[1:4] == ["baking-page-2", "baking-item-1", "baking-page-4"], "what was seen gives up its place"
    assert all(item.startswith("hiking") for item in (found[0], *found[4:]))
    assert list_of(shop, 2) == found[:2]
    assert list_of(shop)[-1] == "baking-product-1"
    assert len(list_of(shop)) == len(ITEMS) - 1
    assert list_of(shop, 6, item_kinds=["page"])[1:3] == ["baking-page-2", "baking-page-4"]
    assert "baking-page-2" not in list_of(shop, 6, exclude=["baking-page-2"])
    assert list_of(shop, matching='{"price": 130}') == ["baking-page-2"]
    shop.execute("update nearline_data.item set is_active = false where item_id = 'baking-page-2'")
    rule(shop, "out", "block", item_ids=["baking-item-1"])
    assert list_of(shop, 6)[1] == "baking-page-4"


def test_rules_hold_for_somebody_of_whom_nothing_is_known(shop: Connection) -> None:
    for count, item in enumerate(["baking-item-1", "baking-page-1", "hiking-item-3", "hiking-page-4"], 1):
        for number in range(count):
            shop.execute("select nearline.record_event(%s, 'view', %s)", (f"person {number}", item))
    shop.execute("select nearline_data._refresh_popularity()")
    popular = list_of(shop, user="nobody")
    assert popular[0] == "hiking-page-4"
    rule(shop, "first", "pin", item_ids=["hiking-product-4"], at_position=1)
    assert list_of(shop, user="nobody") == ["hiking-product-4", *popular]
    rule(shop, "not so much", "bury", item_kinds=["page"], strength=5)
    pages = [item for item in popular if "page" in item]
    others = [item for item in popular if item not in pages]
    assert list_of(shop, user="nobody") == ["hiking-product-4", *others, *pages]
    rule(shop, "more", "boost", item_ids=["baking-item-1"], strength=9)
    rule(shop, "none", "block", item_ids=[popular[0]])
    assert list_of(shop, 2, user="nobody") == ["hiking-product-4", "baking-item-1"]
    assert popular[0] not in list_of(shop, user="nobody")


def test_pins_count_for_caps_and_stand_whatever_they_say(shop: Connection) -> None:
    pages = ["baking-page-1", "baking-page-2"]
    rule(shop, "pages", "pin", item_ids=pages, at_position=1)
    rule(shop, "few", "cap", per="kind", at_most=1)
    found = list_of(shop)
    assert found[:2] == pages
    assert sorted(item.split("-")[1] for item in found[2:]) == ["item", "product"]


def test_a_pin_at_the_end_of_a_short_list_counts_for_caps_too(shop: Connection) -> None:
    rule(shop, "few", "cap", per="kind", at_most=1)
    before = list_of(shop)
    assert sorted(item.split("-")[1] for item in before) == ["item", "page", "product"]
    rule(shop, "late", "pin", item_ids=["baking-page-4"], at_position=500)
    assert list_of(shop) == [*(item for item in before if "page" not in item), "baking-page-4"]
    assert list_of(shop, 3) == before, "without it the list is long enough"
    shop.execute("update nearline_data.rule set at_position = 2 where name = 'late'")
    assert sorted(list_of(shop)) == sorted([*(item for item in before if "page" not in item), "baking-page-4"])


def test_a_reason_names_the_rules_and_reads_as_the_rule_says(shop: Connection) -> None:
    rule(shop, "ours", "pin", item_ids=["baking-page-2"], at_position=1, phrase="chosen by our editors")
    rule(shop, "new", "boost", matching={"tags": "new"}, strength=1)
    first, second = (reason for (reason,) in shop.execute("select reason from nearline.recommend('u', 2)").fetchall())
    assert first == {"text": "chosen by our editors", "because": [], "rules": ["new", "ours"]}
    assert second["text"] == "because you viewed The hiking page 1"
    assert second["rules"] == ["new"]
    shop.execute("delete from nearline_data.rule")
    assert "rules" not in shop.execute("select reason from nearline.recommend('u', 1)").fetchone()[0]  # type: ignore[index]


def test_a_rule_holds_in_its_time_for_its_audience_and_its_strategies(shop: Connection) -> None:
    before = list_of(shop)
    target = before[0]
    shop.execute("insert into nearline_data.strategy (name, diversity) values ('other', 0)")
    for name, columns in {
        "over": {"valid_from": "2020-01-01", "valid_to": "2021-01-01"},
        "to come": {"valid_from": "2999-01-01"},
        "draft": {"is_draft": True},
        "club": {"for_audience": "club"},
        "arm": {"for_strategies": ["other"]},
    }.items():
        rule(shop, name, "block", item_ids=[target], **columns)
    assert list_of(shop) == before
    assert target not in list_of(shop, strategy="other")
    shop.execute("insert into nearline_data.audience_member values ('club', 'u')")
    assert target not in list_of(shop)
    session = """recommend_for_session('[{"kind": "view", "item_id": "hiking-page-1"}]', 1)"""
    assert shop.execute(f"select item_id from nearline.{session}".encode()).fetchall() == [(target,)]
    shop.execute("select nearline.erase_user('u')")
    assert shop.execute("select count(*) from nearline_data.audience_member").fetchone() == (0,)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"action": "pin", "at_position": 1, "item_kinds": ["page"]}, "pin_names_items_and_a_position"),
        ({"action": "pin", "item_ids": ["a"]}, "pin_names_items_and_a_position"),
        ({"action": "boost", "item_ids": ["a"]}, "boost_and_bury_have_a_strength"),
        ({"action": "bury", "item_ids": ["a"], "strength": float("nan")}, "boost_and_bury_have_a_strength"),
        ({"action": "block", "item_ids": ["a"], "strength": 1}, "boost_and_bury_have_a_strength"),
        ({"action": "cap", "at_most": 2}, "cap_says_how_many_per_what"),
        ({"action": "block"}, "rule_says_which_items"),
        ({"action": "block", "matching": {}}, "rule_says_which_items"),
        ({"action": "block", "item_ids": []}, "rule_lists_are_lists"),
        ({"action": "block", "item_ids": ["a", None]}, "rule_lists_are_lists"),
        ({"action": "block", "item_ids": ["a"], "item_kinds": ["page"]}, "rule_names_items_or_describes_them"),
        ({"action": "block", "item_ids": ["a"], "valid_to": "2020-01-01"}, "rule_ends_after_it_begins"),
        ({"action": "block", "matching": {"price": {"beneath": 3}}}, "expected below, above, from or to"),
        ({"action": "block", "matching": {"price": []}}, "expected some texts"),
    ],
)
def test_a_wrong_rule_is_refused_by_name(shop: Connection, columns: dict[str, Any], says: str) -> None:
    with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.InvalidParameterValue), match=says):
        rule(shop, "wrong", **columns)


def test_there_are_only_so_many_rules(shop: Connection) -> None:
    insert = """insert into nearline_data.rule (name, action, item_ids, is_draft)
                select %s || n, 'block', '{x}', %s from generate_series(1, %s) n"""
    shop.execute(insert, ("draft", True, 300))
    shop.execute(insert, ("rule", False, 200))
    with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="200 rules hold already"):
        shop.execute(insert, ("more", False, 1))


def test_a_dry_run_shows_what_changes_and_nothing_else(shop: Connection, settings: Settings) -> None:
    before = list_of(shop, 4)
    rule(shop, "out", "block", item_ids=[before[1]], is_draft=True, valid_from="2999-01-01")
    call = "select item_id, position_before, position_after, concerned_by from nearline.try_rules(%s, %s, 4)"
    changes = shop.execute(call, (["out"], ["u"])).fetchall()
    assert list_of(shop, 4) == before, "a draft changes nothing"
    shop.execute("update nearline_data.rule set is_draft = false, valid_from = now()")
    after = list_of(shop, 4)
    assert changes == [
        (before[2], 3, 2, []), (before[3], 4, 3, []), (after[3], None, 4, []), (before[1], 2, None, ["out"]),
    ]  # fmt: skip
    assert shop.execute(call, (["out"], ["u"])).fetchall() == changes, "the same of a rule that holds"
    assert shop.execute(call, (["out"], ["nobody at all", None])).fetchall() == []
    rule(shop, "club", "block", item_ids=[after[0]], for_audience="club")
    shop.execute("insert into nearline_data.audience_member values ('club', 'v')")
    users = shop.execute("select distinct user_id from nearline.try_rules(array['club'])").fetchall()
    assert users == [("v",)], "the sample is of the audience"
    for wrong in ("null", "'{}'", "array['none']", "array[null]::text[]"):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="rules") as problem:
            shop.execute(f"select * from nearline.try_rules({wrong})".encode())
        assert problem.value.diag.message_hint
    for argument, most, call in (
        ("rules", 200, "array_fill('out'::text, array[201])"),
        ("for_users", 1000, "array['out'], array_fill('u'::text, array[10001])"),
    ):
        with pytest.raises(psycopg.errors.ProgramLimitExceeded, match=f"{argument} has .* expected at most {most}"):
            shop.execute(f"select * from nearline.try_rules({call})".encode())
    assert shop.execute("select * from nearline.try_rules(array_fill('out'::text, array[200]))")
    with (
        connect(settings, role="nearline_reader", autocommit=True) as reader,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        reader.execute("select * from nearline.try_rules(array['out'])")
