"""How a list came about, step by step: the numbers are those of the list that recommend makes."""

from __future__ import annotations

from typing import Any

import pytest

from nearline.adapters.postgres import Connection, connect
from nearline.settings import Settings
from small_shop import ITEMS, open_shop

Stage = tuple[str, int | None, int | None]


@pytest.fixture
def shop(connection: Connection) -> Connection:
    open_shop(connection)
    connection.execute("update nearline_data.item set attributes = '{\"rare\": 1}' where item_id like 'baking%'")
    connection.execute("select nearline.record_event('u', 'view', 'hiking-page-1')")
    return connection


def plan(connection: Connection, arguments: str) -> tuple[list[Stage], dict[str, str]]:
    rows: list[Any] = connection.execute(
        f"select step, stage, detail, items_in, items_out, ms from nearline.plan({arguments})".encode()
    ).fetchall()
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    assert all(row[5] >= 0 for row in rows)
    return [(row[1], row[3], row[4]) for row in rows], {row[1]: row[2] for row in rows}


def test_a_plan_names_each_step_with_its_items_and_times(shop: Connection) -> None:
    steps, detail = plan(shop, "'u', 5, diversity => 0.5")
    assert [step for step, _, _ in steps] == ["person", "strategy", "nearest", "candidates", "choice", "reasons"]
    assert steps[0] == ("person", None, None)
    assert steps[3][2] == steps[4][1] == len(ITEMS) - 1
    assert steps[4][2] == steps[5][1] == steps[5][2] == 5
    assert detail["person"].startswith(
        "newest events read: 1, folded into the interest of newcomers: 1; items left out: 1"
    )
    assert detail["strategy"] == "'default', model version 1"
    assert detail["nearest"] == "by the index"
    assert detail["choice"] == "diversity 0.5"
    shop.execute("select nearline.record_event('u', 'view', 'hiking-page-2')")
    quick, _ = plan(shop, "'u', 5, with_reasons => false")
    assert [step for step, _, _ in quick] == ["person", "strategy", "nearest", "candidates", "choice"]


def test_a_plan_says_why_a_search_is_exact(shop: Connection) -> None:
    assert plan(shop, """'u', 5, matching => '{"rare": 1}'""")[1]["nearest"] == "exact: at most 22 active items match"
    assert (
        plan(shop, """'u', 1, matching => '{"rare": 1}'""")[1]["nearest"] == "by the index, with the filters on the way"
    )
    steps, detail = plan(shop, """'u', 20, matching => '{"rare": {"above": 0}}'""")
    assert detail["nearest"] == "exact: the index did not reach far enough"
    assert steps[-2:] == [("reasons", 12, 12), ("shortfall", 20, 12)]


def test_what_few_items_are_is_searched_exactly(shop: Connection) -> None:
    shop.execute("update nearline_data.item set kind = 'video' where item_id in ('baking-page-1', 'hiking-page-2')")
    shop.execute(
        "update nearline_data.item_embedding set kind = 'video' where item_id in ('baking-page-1', 'hiking-page-2')"
    )
    shop.execute("update nearline_data.item set language = 'fr-CA' where item_id in ('baking-page-1', 'hiking-page-3')")

    def nearest(arguments: str) -> tuple[str, list[str]]:
        rows = shop.execute(f"select item_id from nearline.recommend({arguments})".encode()).fetchall()
        return plan(shop, arguments)[1]["nearest"], sorted(item for (item,) in rows)

    videos = "exact: at most 14 active items are of these kinds"
    french = "exact: at most 14 active items are in these languages"
    both = ["baking-page-1", "hiking-page-2"]
    assert nearest("'u', 2, item_kinds => '{video}'") == (videos, both)
    assert nearest("""'u', 2, matching => '{"language": "fr"}'""") == (french, ["baking-page-1", "hiking-page-3"])
    assert nearest("""'u', 2, '{video}', '{"language": "fr"}'""") == (videos, ["baking-page-1"])
    assert [row[0] for row in shop.execute(
        "select item_id from nearline.similar_items('hiking-page-4', 5, '{video}')"
    ).fetchall()] == both[::-1]  # fmt: skip
    # What many are is known from the day's count, and not counted again.
    shop.execute("select nearline_data._refresh_topics()")
    assert nearest("'u', 2, item_kinds => '{video}'") == (videos, both)
    assert nearest("'u', 1, item_kinds => '{page, product}'")[0] == "by the index"


def test_items_that_were_withdrawn_are_passed_on_the_way(shop: Connection) -> None:
    shop.execute(
        """insert into nearline_data.item (item_id, kind, title, is_active)
           select 'gone-' || n, 'page', 'Gone', false from generate_series(1, 40) n"""
    )
    shop.execute(
        """insert into nearline_data.item_embedding (model_version, item_id, kind, vector)
           select e.model_version, 'gone-' || n, e.kind, e.vector
           from nearline_data.item_embedding e cross join generate_series(1, 40) n where e.item_id = 'hiking-page-2'"""
    )
    steps, detail = plan(shop, "'u', 10")
    assert detail["nearest"] == "by the index, with the filters on the way"
    assert steps[-1] == ("reasons", 10, 10)


def test_a_sample_tells_that_many_match(connection: Connection) -> None:
    connection.execute(
        """insert into nearline_data.item (item_id, kind, title, attributes)
           select 'i' || n, 'item', 'Item ' || n
                , jsonb_build_object('in_stock', n % 10 > 0, 'tenth', n % 10, 'rare', n % 600)
           from generate_series(1, 60000) n"""
    )

    def is_common(path: str, few: int, of_items: int = 60_000) -> bool | None:
        row = connection.execute(
            "select nearline_data._is_common(%s::jsonpath, %s, %s)", (path, few, of_items)
        ).fetchone()
        return row[0] if row else None

    assert is_common("$.in_stock == true", 50_000)
    assert is_common("$.tenth == 3", 3_000)
    assert not is_common("$.tenth == 3", 10_000)
    assert not is_common("$.rare == 7", 10)
    assert not is_common("$.in_stock == true", 10, of_items=50_000)
    connection.execute("update nearline_data.item set is_active = false where attributes @@ '$.tenth == 3'")
    assert not is_common("$.tenth == 3", 3_000)


def test_a_plan_shows_the_rules(shop: Connection) -> None:
    shop.execute(
        """insert into nearline_data.rule (name, action, item_ids, item_kinds, strength, per, at_most) values
           ('b', 'block', '{hiking-page-2}', null, null, null, null), ('c', 'cap', null, null, null, 'kind', 1),
           ('up', 'boost', null, '{product}', 1, null, null)"""
    )
    steps, detail = plan(shop, "'u', 5")
    assert [step for step, _, _ in steps][:4] == ["person", "strategy", "rules", "nearest"]
    assert detail["rules"] == "block 'b'; boost 'up'; cap 'c'"
    assert steps[2] == ("rules", None, 8)
    assert steps[-3][0] == "choice"
    assert steps[-3][2] == 3
    assert detail["shortfall"].startswith("3 of 5: no other active item")
    assert detail["choice"] == "the best, 8 moved by rules, 3 groups at their cap"


def test_a_plan_says_why_a_list_is_empty(shop: Connection) -> None:
    steps, detail = plan(shop, "'u', 7, array['film']")
    assert steps[-1] == ("shortfall", 7, 0)
    assert detail["shortfall"] == "0 of 7: no other active item of these kinds that the person has not seen"
    assert "shortfall" not in plan(shop, "'u', 5")[1]


def test_a_plan_is_of_the_list_that_recommend_makes(shop: Connection, settings: Settings) -> None:
    with connect(settings, role="nearline_reader", autocommit=True) as reader:
        for arguments in (
            "'u'", "'nobody', 3", "null", "'u', 0", "'u', 50, array['page']", "'u', exclude => array['hiking-page-2']",
            "'u', seen_within => '0', max_items => 50", """'u', 30, matching => '{"rare": 1}'""",
        ):  # fmt: skip
            steps, _ = plan(reader, arguments)
            listed = reader.execute(f"select item_id from nearline.recommend({arguments})".encode()).fetchall()
            assert len(listed) == (steps[-1][2] or 0), arguments
