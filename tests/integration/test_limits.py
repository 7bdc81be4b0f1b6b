"""What a call may cost: sizes that are refused with the fix, texts that stay data, and logins that are cut off."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from application_login import application_login
from nearline.adapters.postgres import Connection, connect
from nearline.settings import Settings
from small_shop import ITEMS, open_shop

HOSTILE = [
    "'; drop table nearline_data.item; --",
    "$$); delete from nearline_data.event; --",
    "<script>alert(document.cookie)</script><img src=x onerror=alert(1)>",
    '{"$ne": null}',
    "%s %(x)s {} \\",
    "☃" * 10_000,
]
LISTS = [
    "recommend('u'",
    "recommend_per_kind('u'",
    "recommend_for_many(array['u', 'v']",
    """recommend_for_session('[{"kind": "view", "item_id": "hiking-page-1"}]'""",
]


@pytest.fixture
def shop(connection: Connection) -> Connection:
    open_shop(connection)
    connection.execute("select nearline.record_event('u', 'view', %s)", (ITEMS[0],))
    return connection


@pytest.fixture
def login(settings: Settings, shop: Connection) -> Iterator[str]:
    """DSN of an application's own login, made as sql/README.md says."""
    limits = {"idle_in_transaction_session_timeout": "100ms", "lock_timeout": "50ms"}
    with application_login(settings, statement_timeout="500ms", **limits) as address:
        yield address


@pytest.mark.parametrize("call", LISTS)
@pytest.mark.parametrize(
    ("argument", "value", "code", "said"),
    [
        ("exclude", ["x"] * 10_001, "54000", "exclude has 10001 entries, expected at most 10000"),
        ("item_kinds", ["page"] * 101, "54000", "item_kinds has 101 entries, expected at most 100"),
        ("exclude", [["a", "b"], ["c", "d"]], "22023", "exclude has 2 dimensions, expected a list of texts"),
    ],
)
def test_arrays_have_a_limit(shop: Connection, call: str, argument: str, value: Any, code: str, said: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        shop.execute(f"select * from nearline.{call}, {argument} => %s::text[])", (value,))  # type: ignore[arg-type]
    assert (caught.value.sqlstate, caught.value.diag.message_primary) == (code, said)
    assert caught.value.diag.message_hint
    shop.execute(f"select * from nearline.{call}, exclude => %s)", (["x"] * 10_000,))  # type: ignore[arg-type]


@pytest.mark.parametrize("call", LISTS[:3])
def test_seen_kinds_have_a_limit(shop: Connection, call: str) -> None:
    with pytest.raises(psycopg.Error, match="seen_kinds has 101 entries") as caught:
        shop.execute(f"select * from nearline.{call}, seen_kinds => %s)", (["view"] * 101,))  # type: ignore[arg-type]
    assert caught.value.sqlstate == "54000"


MANY = "array_fill('page'::text, array[101])"


@pytest.mark.parametrize(
    ("call", "code", "said"),
    [
        ("recommend('u', seen_kinds => array['veiw'])", "22023", "seen_kinds has 'veiw', expected some of: cart, "),
        (f"similar_items('hiking-page-1', item_kinds => {MANY})", "54000", "item_kinds has 101 entries"),
        ("trending(within => '-1 day')", "22023", "within is '-1 days', expected a time above 0"),
        ("trending(within => null)", "22023", "within is null, expected a time above 0"),
        (f"trending({MANY})", "54000", "item_kinds has 101 entries, expected at most 100"),
        ("recommend_for_many(array[array['u'], array['v']])", "22023", "for_users has 2 dimensions"),
        ("recommend_for_session((repeat('[', 30) || repeat(']', 30))::jsonb)", "54000", "events is nested"),
        ("recommend_for_session(jsonb_build_array(repeat('x', 1000001)))", "54000", "more than 1000000 characters"),
        ("""recommend_for_session('[{"kind": "view", "item_id": 7}]')""", "22023", "or text, as JSON strings"),
        ("""recommend('u', matching => '{"price": {}}')""", "22023", "matching 'price' is {}, expected below, above"),
        ("recommend('u', strategy => repeat('x', 1000000))", "22023", "strategy is 'xxx"),
        ("""recommend('u', matching => '{"a": [["x"]]}')""", "22023", """matching 'a' is [["x"]], expected some"""),
    ],
)
def test_what_cannot_be_meant_is_refused_shortly(shop: Connection, call: str, code: str, said: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        shop.execute(f"select * from nearline.{call}")
    assert (caught.value.sqlstate, bool(caught.value.diag.message_hint)) == (code, True)
    assert said in str(caught.value.diag.message_primary)
    assert len(str(caught.value.diag.message_primary)) < 500


@pytest.mark.parametrize(
    "call",
    [
        "recommend('u', seen_within => '100000 years')", "recommend_per_kind('u', seen_within => '100000 years')",
        "plan('u', seen_within => 'infinity')", "explain('u', 'hiking-page-2', seen_within => '100000 years')",
        "trending(within => '100000 years')", "performance_between('2026-01-01Z', '294276-12-31Z')",
        "performance_between('2026-01-01Z', 'infinity')",
    ],
)  # fmt: skip
def test_a_time_without_end_is_all_of_it(shop: Connection, call: str) -> None:
    shop.execute(f"select * from nearline.{call}")


def test_a_list_has_at_most_1000_items_and_says_so(shop: Connection) -> None:
    shop.execute(
        "insert into nearline_data.item (item_id, kind, title)"
        " select 'more-' || n, 'item', n from generate_series(1, 1100) n"
    )
    shop.execute(
        "insert into nearline_data.item_embedding (model_version, item_id, kind, vector)"
        " select e.model_version, i.item_id, i.kind, e.vector from nearline_data.item i"
        " cross join (select * from nearline_data.item_embedding limit 1) e where i.item_id like 'more-%'"
    )
    for asked, said in ((1000, {None}), (5000, {"1000 of 5000: a list has at most 1000 items"})):
        rows = shop.execute("select shortfall from nearline.recommend('u', %s)", (asked,)).fetchall()
        assert len(rows) == 1000
        assert {shortfall for (shortfall,) in rows} == said
    kinds = "select kind, list_position from nearline.recommend_per_kind('u', 2, array['page', 'item', 'page'])"
    assert shop.execute(kinds).fetchall() == [("page", 1), ("page", 2), ("item", 1), ("item", 2)]


def test_similar_items_are_found_behind_those_that_are_not_active(shop: Connection) -> None:
    shop.execute(
        "insert into nearline_data.item (item_id, kind, title, is_active) select 'old-' || n, 'page', n, false"
        " from generate_series(1, 400) n"
    )
    shop.execute(
        "insert into nearline_data.item_embedding (model_version, item_id, kind, vector)"
        " select e.model_version, i.item_id, i.kind, e.vector from nearline_data.item i"
        " cross join (select * from nearline_data.item_embedding where item_id = 'hiking-page-1') e"
        " where i.item_id like 'old-%'"
    )
    assert len(shop.execute("select * from nearline.similar_items('hiking-page-1', 10)").fetchall()) == 10


def test_nulls_among_what_is_left_out_are_nothing(shop: Connection) -> None:
    call = "select item_id from nearline.recommend('u', 30, exclude => %s)"
    left_out = shop.execute(call, ([None, ITEMS[1]],)).fetchall()
    assert {item for (item,) in left_out} == set(ITEMS) - {ITEMS[0], ITEMS[1]}


@pytest.mark.parametrize("argument", ["of_user", "on_item", "with_id"])
def test_ids_have_a_limit(connection: Connection, argument: str) -> None:
    given = {"of_user": "u", "on_item": "a", "with_id": "e"}
    call = "select nearline.record_event(event_kind => 'view', {})".format(", ".join(f"{a} => %({a})s" for a in given))
    with pytest.raises(psycopg.Error, match=f"{argument} has 501 characters, expected at most 500") as caught:
        connection.execute(call.encode(), given | {argument: "x" * 501})
    assert (caught.value.sqlstate, bool(caught.value.diag.message_hint)) == ("22023", True)
    with pytest.raises(psycopg.Error, match=f"{argument} has 1002 bytes, expected at most 1000") as caught:
        connection.execute(call.encode(), given | {argument: "☃" * 334})
    assert (caught.value.sqlstate, bool(caught.value.diag.message_hint)) == ("22023", True)
    connection.execute(call.encode(), given | {argument: "☃" * 333})
    assert connection.execute("select count(*) from nearline_data.event").fetchone() == (1,)


@pytest.mark.parametrize(
    ("to_user", "item", "strategy", "said"),
    [
        ("x" * 501, "a", "default", "to_user has 501 characters, expected at most 500"),
        ("☃" * 334, "a", "default", "to_user has 1002 bytes, expected at most 1000"),
        ("u", "x" * 501, "default", "an id of shown_items has 501 characters, expected at most 500"),
        ("u", "a", "x" * 501, "with_strategy has 501 characters, expected at most 500"),
    ],
)
def test_an_exposure_has_a_limit(connection: Connection, to_user: str, item: str, strategy: str, said: str) -> None:
    record = "select nearline.record_exposure(gen_random_uuid(), %s, array[null, 'a', %s], with_strategy => %s)"
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(record, (to_user, item, strategy))
    assert (caught.value.sqlstate, caught.value.diag.message_primary) == ("22023", said)
    assert caught.value.diag.message_hint
    assert connection.execute(record, ("☃" * 333, "☃" * 333, None)).fetchone() == (2,)


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ('{"a": ' * 21 + "1" + "}" * 21, "with_attributes is nested deeper than 20 levels"),
        ("[" * 2000 + "]" * 2000, "with_attributes is nested deeper than 20 levels"),
        (f'{{"a": "{"x" * 100_000}"}}', "with_attributes has 100009 characters, expected at most 100000"),
    ],
)
def test_attributes_have_a_limit(connection: Connection, attributes: str, said: str) -> None:
    record = "select nearline.record_event('u', 'view', 'a', with_attributes => %s)"
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(record, (attributes,))
    assert (caught.value.sqlstate, caught.value.diag.message_primary) == ("54000", said)
    assert caught.value.diag.message_hint
    for fine in ('{"a": ' * 20 + "1" + "}" * 20, f'{{"a": "{"x" * 90_000}"}}'):
        connection.execute(record, (fine,))


def test_copy_is_bound_too_and_new_months_as_well(settings: Settings, connection: Connection) -> None:
    connection.execute(
        "select nearline.record_event('u', 'view', 'a', happened_at => '2019-05-06Z')"
    )  # a new partition
    with connect(settings, role="nearline_writer", autocommit=True) as writer:
        for at in ("2019-06-01Z", "2026-11-01Z"):
            for row, bound in (
                (("e", "u", "x" * 501, "view", "", None, at), "event_is_no_document"),
                (("e", "u", "a", "comment", "x" * 1_000_001, None, at), "event_is_no_document"),
                (("e", "u", "", "view", "", None, at), "event_item_id_says_something"),
                (("e", "u", None, "search", "", json.dumps({"a": "x" * 1_000_001}), at), "event_attributes_are_short"),
            ):
                with (
                    pytest.raises(psycopg.errors.CheckViolation, match=bound),
                    writer.cursor() as cursor,
                    cursor.copy(
                        "copy nearline_data.event (event_id, user_id, item_id, kind, text, attributes, occurred_at)"
                        " from stdin"
                    ) as copy,
                ):
                    copy.write_row(row)
    assert connection.execute("select count(*) from nearline_data.event").fetchone() == (1,)


@pytest.mark.parametrize("text", HOSTILE)
def test_text_comes_back_as_it_was_written(settings: Settings, shop: Connection, text: str) -> None:
    """Whatever it tries to be: to Postgres it is data, and what shows it escapes it."""
    user = text[:333]
    with connect(settings, role="nearline_writer", autocommit=True) as writer:
        writer.execute("select nearline.record_event(%s, 'comment', %s, with_text => %s)", (user, ITEMS[0], text))
        writer.execute("select nearline.record_event(%s, 'search', with_text => %s)", (user, text))
    shop.execute("update nearline_data.item set title = %s where item_id = %s", (text, ITEMS[1]))
    with connect(settings, role="nearline_reader", autocommit=True) as reader:
        events = reader.execute("select text from nearline.recent_events(%s)", (user,)).fetchall()
        assert events == [(text,), (text,)]
        titles = dict(reader.execute("select item_id, title from nearline.recommend(%s, 30)", (user,)).fetchall())
        assert titles[ITEMS[1]] == text
        assert reader.execute("select * from nearline.recommend('u', matching => %s)", (json.dumps({"a": user}),))
    assert shop.execute("select count(*) from nearline_data.item").fetchone() == (len(ITEMS),)


def test_a_login_is_cut_off(login: str, shop: Connection) -> None:
    users = [f"user {number}" for number in range(10_000)]
    with psycopg.connect(login, autocommit=True) as application:
        assert len(application.execute("select * from nearline.recommend('u', 3)").fetchall()) == 3
        with pytest.raises(psycopg.errors.QueryCanceled) as caught:
            application.execute("select * from nearline.recommend_for_many(%s, 1000)", (users,))
        assert caught.value.sqlstate == "57014"
        assert len(application.execute("select * from nearline.recommend('u', 3)").fetchall()) == 3, "it goes on"
        with shop.transaction():
            shop.execute("lock table nearline_data.event in access exclusive mode")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                application.execute("select * from nearline.recent_events('u')")


def test_a_transaction_left_open_is_ended(login: str) -> None:
    with psycopg.connect(login) as application:
        application.execute("select nearline.record_event('u', 'view', 'a', with_id => 'open')")
        time.sleep(0.5)
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            application.execute("select 1")
