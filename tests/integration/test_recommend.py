"""What applications read, on a shop where every right answer is known."""

from __future__ import annotations

import pytest

from nearline.adapters.postgres import Connection, connect
from nearline.settings import Settings
from small_shop import ITEMS, KINDS, open_shop, vector_of

RECOMMEND = "select item_id, kind, score, reason from nearline.recommend"


def record(connection: Connection, user: str, *item_ids: str, kind: str = "view") -> None:
    for item_id in item_ids:
        connection.execute("select nearline.record_event(%s, %s, %s)", (user, kind, item_id))


def test_a_list_is_of_the_persons_theme_and_leaves_out_what_was_seen(connection: Connection) -> None:
    ledger = open_shop(connection)
    record(connection, "u1", "hiking-page-1", "hiking-page-2")
    ledger.catch_up()
    found = [row[0] for row in connection.execute(f"{RECOMMEND}('u1', 10)").fetchall()]
    expected = {item for item in ITEMS if item.startswith("hiking")} - {"hiking-page-1", "hiking-page-2"}
    assert set(found) == expected
    assert found[0] == "hiking-page-3", "what follows the last event comes first"


def test_the_very_next_query_knows_the_first_event(connection: Connection) -> None:
    open_shop(connection)
    record(connection, "new", "baking-product-1")  # and the nearline job has not run
    rows = connection.execute(f"{RECOMMEND}('new', 3)").fetchall()
    assert all(row[0].startswith("baking") for row in rows)
    assert rows[0][3]["text"] == "because you viewed The baking product 1"


@pytest.mark.parametrize("kind", KINDS)
def test_one_list_per_kind(connection: Connection, kind: str) -> None:
    open_shop(connection)
    record(connection, "u1", "hiking-page-1")
    rows = connection.execute(f"{RECOMMEND}('u1', 4, array[%s])", (kind,)).fetchall()
    assert {row[1] for row in rows} == {kind}
    assert rows[0][0].startswith("hiking")
    assert len(rows) == 4


def test_excluded_and_inactive_items_stay_out(connection: Connection) -> None:
    open_shop(connection)
    record(connection, "u1", "hiking-page-1")
    connection.execute("update nearline_data.item set is_active = false where item_id = 'hiking-page-3'")
    found = {r[0] for r in connection.execute(f"{RECOMMEND}('u1', 50, exclude => array['hiking-page-2'])").fetchall()}
    assert found == set(ITEMS) - {"hiking-page-1", "hiking-page-2", "hiking-page-3"}


def test_people_without_history_get_what_is_popular(connection: Connection) -> None:
    open_shop(connection)
    for user in ("u1", "u2", "u3"):
        record(connection, user, "baking-item-2", kind="purchase")
    record(connection, "u4", "hiking-item-1")
    connection.execute("select nearline_data._refresh_popularity()")
    rows = connection.execute(f"{RECOMMEND}('nobody', 5)").fetchall()
    assert [row[0] for row in rows] == ["baking-item-2", "hiking-item-1"]
    assert rows[0][3]["text"] == "popular with others now"


def test_people_without_history_get_what_newcomers_want_where_the_model_knows(connection: Connection) -> None:
    open_shop(connection)
    vector = vector_of("baking-product-3")
    connection.execute("update nearline_data.model_version set newcomer_interest = %s", (vector,))
    rows = connection.execute(f"{RECOMMEND}('nobody', 12)").fetchall()
    assert rows[0][0] == "baking-product-3"
    assert all(row[0].startswith("baking") for row in rows)
    assert {row[3]["text"] for row in rows} == {"popular with others now"}

    record(connection, "u1", "hiking-page-1")  # no vector yet: what they touched counts beside what newcomers want
    rows = connection.execute(f"{RECOMMEND}('u1', 20)").fetchall()
    assert rows[0][0].startswith("hiking")
    assert {row[0].split("-")[0] for row in rows} == {"hiking", "baking"}


def test_an_event_before_the_first_model_is_answered_too(connection: Connection) -> None:
    connection.execute("insert into nearline_data.item (item_id, kind, title) values ('a', 'page', 'A')")
    record(connection, "u1", "a")
    assert connection.execute(f"{RECOMMEND}('u1')").fetchall() == []
    connection.execute("select nearline_data._refresh_popularity()")
    assert [row[0] for row in connection.execute(f"{RECOMMEND}('u2')").fetchall()] == ["a"]


def test_a_search_moves_the_list_and_is_the_reason(connection: Connection) -> None:
    ledger = open_shop(connection)
    connection.execute("select nearline.record_event('u1', 'search', with_text => 'everything for baking')")
    ledger.catch_up()
    rows = connection.execute(f"{RECOMMEND}('u1', 3)").fetchall()
    assert all(row[0].startswith("baking") for row in rows)
    assert rows[0][3]["text"] == "because you searched for “everything for baking”"
    assert rows[0][3]["because"][0]["share"] == 1.0


def test_without_a_model_there_is_an_answer_all_the_same(connection: Connection) -> None:
    assert connection.execute(f"{RECOMMEND}('u1')").fetchall() == []
    assert connection.execute("select * from nearline.similar_items('a')").fetchall() == []
    assert connection.execute("select backlog_events, model_version from nearline.freshness").fetchone() == (0, None)


@pytest.mark.parametrize("count", [0, -5, 1, 24, 5000, None])
def test_any_number_of_items_may_be_asked_for(connection: Connection, count: int | None) -> None:
    open_shop(connection)
    record(connection, "u1", "hiking-page-1")
    rows = connection.execute(f"{RECOMMEND}('u1', %s)", (count,)).fetchall()
    assert len(rows) == min(max(10 if count is None else count, 0), len(ITEMS) - 1)


def test_hostile_text_comes_back_as_data(connection: Connection) -> None:
    open_shop(connection)
    hostile = "'; drop table nearline_data.item; --<script>"
    connection.execute("select nearline.record_event(%s, 'search', with_text => %s)", (hostile, hostile))
    assert connection.execute("select text from nearline.recent_events(%s)", (hostile,)).fetchall() == [(hostile,)]
    assert connection.execute("select count(*) from nearline_data.item").fetchone() == (len(ITEMS),)


def test_similar_items_are_of_the_theme(connection: Connection) -> None:
    open_shop(connection)
    rows = connection.execute("select item_id, similarity from nearline.similar_items('baking-page-1', 11)").fetchall()
    assert len(rows) == 11
    assert all(item.startswith("baking-") and 0.9 < similarity < 1 for item, similarity in rows)


def test_a_search_path_of_the_caller_changes_nothing(settings: Settings, connection: Connection) -> None:
    open_shop(connection)
    record(connection, "u1", "hiking-page-1")
    expected = connection.execute(f"{RECOMMEND}('u1', 3)").fetchall()
    with connect(settings, role=None) as caller:
        caller.execute("create schema trap")
        caller.execute("create table trap.event as select * from nearline_data.event limit 0")
        caller.execute("create function trap.exp(double precision) returns double precision return 0")
        caller.execute("set search_path = trap, public, pg_catalog")
        assert caller.execute(f"{RECOMMEND}('u1', 3)").fetchall() == expected


def test_the_plan_uses_the_vector_index(connection: Connection) -> None:
    open_shop(connection)
    plan = "\n".join(
        row[0]
        for row in connection.execute(
            """explain select e.item_id from nearline_data.item_embedding e
               where e.model_version = 1 and e.item_id <> 'x'
               order by e.vector <#> (select v.vector from nearline_data.item_embedding v limit 1) limit 5"""
        ).fetchall()
    )
    connection.execute("set enable_seqscan = off")
    forced = "\n".join(
        row[0]
        for row in connection.execute(
            """explain select e.item_id from nearline_data.item_embedding e
               where e.model_version = 1
               order by e.vector <#> (select u.vector from nearline_data.item_embedding u limit 1) limit 5"""
        ).fetchall()
    )
    assert "item_embedding_v1" in plan
    assert "item_embedding_v1_vector_idx" in forced
