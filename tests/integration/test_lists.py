"""Lists by filter, by kind, for many people, for sessions: complete where they can be, and saying why where not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import Connection, connect
from nearline.core.interest import DIM
from nearline.settings import Settings
from small_shop import ITEMS, KINDS, MeanOfHistory, open_shop, vector_of

COLOURS = ("red", "green", "blue")


def record(connection: Connection, user: str, *item_ids: str, kind: str = "view", at: datetime | None = None) -> None:
    for item_id in item_ids:
        connection.execute("select nearline.record_event(%s, %s, %s, happened_at => %s)", (user, kind, item_id, at))


def describe(connection: Connection) -> dict[str, dict[str, Any]]:
    """Give every item of the shop attributes, and return them."""
    found = {
        item: {
            "price": 10 * place,
            "colour": COLOURS[place % 3],
            "tags": ["new", COLOURS[place % 2]],
            "size": {"cm": 3},
        }
        for place, item in enumerate(ITEMS)
    }
    for item, attributes in found.items():
        connection.execute(
            "update nearline_data.item set attributes = %s, language = %s where item_id = %s",
            (json.dumps(attributes), "en-GB" if "page" in item else "zh", item),
        )
    return found


def items_of(connection: Connection, call: str, *values: Any) -> list[str]:
    return [item for (item,) in connection.execute(f"select item_id from nearline.{call}", values).fetchall()]


@pytest.mark.parametrize(
    ("matching", "passes"),
    [
        ({"colour": "red"}, lambda a: a["colour"] == "red"),
        ({"colour": ["red", "blue"]}, lambda a: a["colour"] in ("red", "blue")),
        ({"price": {"below": 100}}, lambda a: a["price"] < 100),
        ({"price": {"from": 50, "to": 90}}, lambda a: 50 <= a["price"] <= 90),
        ({"price": {"above": 90}, "colour": "green"}, lambda a: a["price"] > 90 and a["colour"] == "green"),
        ({"tags": "red"}, lambda a: "red" in a["tags"]),
        ({"price": [10, 20]}, lambda a: a["price"] in (10, 20)),
        ({}, lambda a: True),
    ],
)
def test_a_filter_gives_all_that_pass_and_nothing_else(connection: Connection, matching: Any, passes: Any) -> None:
    open_shop(connection)
    attributes = describe(connection)
    record(connection, "u", "hiking-page-1")
    for user in ("u", "nobody"):
        found = items_of(
            connection, "recommend(%s, 50, matching => %s, seen_within => '0')", user, json.dumps(matching)
        )
        if user == "u":
            assert set(found) == {item for item, one in attributes.items() if passes(one)}
        assert all(passes(attributes[item]) for item in found)


def test_a_language_is_asked_for_with_and_without_its_region(connection: Connection) -> None:
    open_shop(connection)
    describe(connection)
    record(connection, "u", "hiking-page-1")
    assert {
        i.split("-")[1] for i in items_of(connection, """recommend('u', 50, matching => '{"language": "en"}')""")
    } == {"page"}
    both = items_of(connection, """recommend('u', 50, matching => '{"language": ["en-GB", "zh"]}')""")
    assert len(both) == len(ITEMS) - 1


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("zh", 3), ("ZH", 3), ("zh-Hant", 2), ("zh-hant-tw", 1), ("zh-Hant-TW", 1), ("zh-H", 0), ("z", 0), ("", 0),
        (["fr", "zh-hant"], 3), ("f", 0), ("(.*)", 0),
    ],
)  # fmt: skip
def test_a_language_is_met_as_far_as_one_of_its_hyphens(connection: Connection, asked: Any, found: int) -> None:
    """Basic filtering of RFC 4647; a rule that asks for a language concerns the same items."""
    open_shop(connection)
    for item, language in zip(ITEMS, ("zh-Hant-TW", "ZH-Hant", "zh", "fr-CA", "zhx"), strict=False):
        connection.execute("update nearline_data.item set language = %s where item_id = %s", (language, item))
    connection.execute("select nearline_data._refresh_topics()")
    record(connection, "u", ITEMS[-1])
    matching = json.dumps({"language": asked})
    call = "recommend('u', %s, matching => %s)"
    for count in (3, 50):
        assert len(items_of(connection, call, count, matching)) == found
    connection.execute("insert into nearline_data.rule (name, action, matching) values ('r', 'block', %s)", (matching,))
    assert len(items_of(connection, "recommend('u', 50)")) == len(ITEMS) - 1 - found


def test_an_index_serves_a_language_that_few_have(connection: Connection) -> None:
    connection.execute(
        "insert into nearline_data.item (item_id, kind, title, language)"
        " select 'i' || n, 'item', 'I', case n when 7 then 'ZH-Hant' else 'en' end from generate_series(1, 5000) n"
    )
    connection.execute("analyze nearline_data.item")
    plan = connection.execute(
        "explain select * from nearline_data.item c"
        " where lower(split_part(c.language, '-', 1) collate \"C\") = any (array(select 'zh'))"
    ).fetchall()
    assert any("item_language_idx" in line for (line,) in plan)
    few = connection.execute("select nearline_data._few('languages', 9, null, null, '{zh-hant-}', null)").fetchall()
    assert few == [(["i7"],)]


@pytest.mark.parametrize("language", [[], [None], ["en", 5], [["en"]], {}, 3, None])
def test_a_language_that_is_no_text_is_refused(connection: Connection, language: Any) -> None:
    matching = json.dumps({"language": language})
    for call in (
        "select * from nearline.recommend('u', matching => %s)",
        "insert into nearline_data.rule (name, action, matching, item_kinds) values ('r', 'block', %s, '{product}')",
    ):
        with pytest.raises(
            psycopg.errors.InvalidParameterValue, match=r"matching 'language' is .* expected"
        ) as problem:
            connection.execute(call.encode(), (matching,))
        assert problem.value.diag.message_hint


scalars = st.one_of(st.text(max_size=8), st.integers(-5, 250), st.booleans(), st.none(), st.sampled_from(COLOURS))
names = st.one_of(st.sampled_from(["price", "colour", "tags", "size", "language"]), st.text(max_size=5))
conditions = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.dictionaries(
        st.one_of(st.sampled_from(["below", "above", "from", "to"]), st.text(max_size=4)), scalars, max_size=2
    ),
    st.lists(st.lists(scalars, max_size=2), max_size=2),
)


@rules(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(matching=st.one_of(st.dictionaries(names, conditions, max_size=3), scalars, st.lists(scalars, max_size=2)))
def test_any_filter_is_answered_or_refused_with_a_hint(connection: Connection, matching: Any) -> None:
    if connection.execute("select count(*) from nearline_data.live_version").fetchone() == (0,):
        open_shop(connection)
        describe(connection)
        record(connection, "u", "hiking-page-1")
    text = json.dumps(matching)
    if "\\u0000" in text:
        return  # Postgres has no such text
    try:
        found = items_of(connection, "recommend('u', 50, matching => %s)", text)
    except psycopg.Error as problem:
        if problem.sqlstate not in ("22023", "54000") or not problem.diag.message_hint:
            raise
    else:
        assert len(found) == len(set(found)) <= len(ITEMS)


def test_a_filter_reaches_further_than_the_index_does(connection: Connection) -> None:
    """What passes lies farthest from the person, behind more items than an index scan looks at."""
    open_shop(connection)
    record(connection, "u", "hiking-page-1")
    connection.execute(
        "insert into nearline_data.item (item_id, kind, title, attributes)"
        " select 'far' || n, 'page', 'Far ' || n, jsonb_build_object('rank', n) from generate_series(1, 3000) n"
    )
    rng = np.random.default_rng(0)
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into nearline_data.item_embedding values (1, %s, 'page', %s)",
            [(f"far{n}", vector_of("hiking-page-1") * 0.5 + 0.01 * rng.normal(size=DIM)) for n in range(1, 3001)],
        )
    connection.execute("update nearline_data.item set attributes = '{\"rare\": 1}' where item_id like 'baking%'")
    connection.execute("set hnsw.max_scan_tuples = 200")
    for matching in ('{"rare": {"above": 0}}', '{"rare": 1}'):
        found = connection.execute(
            "select item_id, shortfall from nearline.recommend('u', 10, matching => %s)", (matching,)
        ).fetchall()
        assert len(found) == 10
        assert all(item.startswith("baking") and shortfall is None for item, shortfall in found)
    found = items_of(connection, "recommend('u', 12, item_kinds => array['product', 'item'])")
    assert len(found) == 12


def test_a_short_list_says_why(connection: Connection) -> None:
    open_shop(connection)
    describe(connection)
    record(connection, "u", "hiking-page-1")
    for arguments, expected in (
        ("50", "23 of 50: no other active item that the person has not seen"),
        ("5, item_kinds => array['page'], exclude => array['hiking-page-2', 'hiking-page-3', 'baking-page-1']",
         "4 of 5: no other active item of these kinds that the person has not seen"),
        ("""9, matching => '{"colour": "red"}'""", "7 of 9: no other active item matches that the person has not seen"),
    ):  # fmt: skip
        rows = connection.execute(f"select distinct shortfall from nearline.recommend('u', {arguments})").fetchall()
        assert rows == [(expected,)]
    assert connection.execute("select distinct shortfall from nearline.recommend('u', 5)").fetchall() == [(None,)]


def test_a_list_of_what_is_popular_says_that_it_is_one(connection: Connection) -> None:
    open_shop(connection, live=False)
    record(connection, "v", "hiking-page-1", "hiking-page-2")
    connection.execute("select nearline_data._refresh_popularity()")

    def shortfall() -> Any:
        return connection.execute("select distinct shortfall from nearline.recommend('nobody', 5)").fetchall()

    assert shortfall() == [("2 of 5: no model is live, and only what is popular is offered",)]
    connection.execute("select nearline_data._promote(1, 'test', 'test')")
    connection.execute("update nearline_data.model_version set newcomer_interest = null")
    why = "2 of 5: nothing is known of the person or of newcomers, and only what is popular is offered"
    assert shortfall() == [(why,)]


def test_what_counts_as_seen_can_be_chosen(connection: Connection) -> None:
    open_shop(connection)
    record(connection, "u", "hiking-page-1", at=datetime.now(UTC) - timedelta(days=40))
    record(connection, "u", "hiking-page-2")
    record(connection, "u", "hiking-page-3", kind="purchase")

    def left_out(arguments: str) -> set[str]:
        return set(ITEMS) - set(items_of(connection, f"recommend('u', 50{arguments})"))

    assert left_out("") == {"hiking-page-1", "hiking-page-2", "hiking-page-3"}
    assert left_out(", seen_within => '30 days'") == {"hiking-page-2", "hiking-page-3"}
    assert left_out(", seen_kinds => array['purchase']") == {"hiking-page-3"}
    assert left_out(", seen_within => '0'") == set()
    assert left_out(", seen_within => '0', exclude => array['hiking-page-2', null]") == {"hiking-page-2"}
    record(connection, "u", "hiking-page-4", at=datetime.now(UTC) + timedelta(minutes=4))
    assert left_out(", seen_within => '0'") == set(), "a clock that is ahead changes nothing"
    assert left_out(", seen_within => '-1 day'") == set()


def test_what_was_hidden_does_not_come_back(connection: Connection) -> None:
    open_shop(connection)
    record(connection, "u", "hiking-page-1", "hiking-item-2")
    for kind, item in (("hide", "hiking-item-2"), ("dislike", "hiking-page-3"), ("return", "baking-page-1")):
        record(connection, "u", item, kind=kind, at=datetime.now(UTC) - timedelta(days=20))
    gone = {"hiking-item-2", "hiking-page-3", "baking-page-1"}
    for arguments in (
        "seen_within => '1 year', seen_kinds => array['purchase']",
        "seen_within => '1 day', seen_kinds => array['purchase']",
        "seen_kinds => '{}'",
        "seen_within => '0'",
    ):
        for call in (f"recommend('u', 50, {arguments})", f"recommend_for_many(array['u'], 50, {arguments})"):
            assert set(items_of(connection, call)) == set(ITEMS) - gone, call
        found = items_of(connection, f"recommend_per_kind('u', 50, {arguments})")
        assert set(found) == set(ITEMS) - gone


def test_what_was_done_in_the_transaction_that_asks_has_waited_for_nothing(connection: Connection) -> None:
    open_shop(connection)
    with connection.transaction():
        connection.execute("select now()")
        record(connection, "u", "hiking-page-1")
        rows = connection.execute("select distinct events_folded, lag from nearline.recommend('u')").fetchall()
    assert rows == [(1, timedelta(0))]


def test_a_diverse_list_goes_on_with_something_else(connection: Connection) -> None:
    open_shop(connection)
    record(connection, "u", "hiking-page-1", "hiking-page-2", "baking-page-1", "hiking-page-3")
    best = items_of(connection, "recommend('u', 4)")
    diverse = items_of(connection, "recommend('u', 4, diversity => 0.7)")
    assert diverse[0] == best[0]
    assert {item.split("-")[0] for item in best} == {"hiking"}
    assert {item.split("-")[0] for item in diverse} == {"hiking", "baking"}
    assert diverse == _relevance_and_difference(connection, 4, 0.7)


def _relevance_and_difference(connection: Connection, count: int, how_diverse: float) -> list[str]:
    """Maximal marginal relevance as in its paper, over the whole shop."""
    scores = dict(connection.execute("select item_id, score from nearline.recommend('u', 50)").fetchall())
    low, high = min(scores.values()), max(scores.values())
    taken: list[str] = []
    while len(taken) < count:
        closest = {
            item: max([0.0, *(float(vector_of(item) @ vector_of(other)) / 1.01 for other in taken)]) for item in scores
        }
        value = {
            item: (1 - how_diverse) * (score - low) / (high - low) - how_diverse * closest[item]
            for item, score in scores.items()
            if item not in taken
        }
        taken.append(max(value, key=lambda item: (round(value[item], 9), scores[item])))
    return taken


def test_another_version_can_be_asked(connection: Connection) -> None:
    open_shop(connection)
    open_shop(connection, 2, live=False)
    record(connection, "u", "hiking-page-1")
    for asked, answered in (("null", 1), ("2", 2)):
        found = connection.execute(
            f"select distinct model_version from nearline.recommend('u', as_of_model => {asked})"
        ).fetchall()
        assert found == [(answered,)]
    with pytest.raises(
        psycopg.errors.InvalidParameterValue, match="model version 9 is not in this database"
    ) as problem:
        connection.execute("select * from nearline.recommend('u', as_of_model => 9)")
    assert problem.value.diag.message_hint


@pytest.mark.parametrize("diversity", ["1.5", "-0.1", "'NaN'"])
def test_wrong_diversity_is_refused(connection: Connection, diversity: str) -> None:
    open_shop(connection)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="expected a number from 0 to 1"):
        connection.execute(f"select * from nearline.recommend('u', diversity => {diversity})")


def test_one_list_for_each_kind(connection: Connection) -> None:
    open_shop(connection)
    record(connection, "u", "hiking-page-1")
    rows = connection.execute(
        "select kind, list_position, item_id, request_id from nearline.recommend_per_kind('u', 2)"
    ).fetchall()
    assert [row[:2] for row in rows] == [(kind, place) for kind in sorted(KINDS) for place in (1, 2)]
    assert len({row[3] for row in rows}) == 1
    for kind in KINDS:
        alone = items_of(connection, "recommend('u', 2, array[%s])", kind)
        assert [row[2] for row in rows if row[0] == kind] == alone
    chosen = connection.execute(
        "select distinct kind from nearline.recommend_per_kind('u', 1, array['page'])"
    ).fetchall()
    assert chosen == [("page",)]


def test_lists_for_many_are_the_lists_of_each(connection: Connection) -> None:
    open_shop(connection)
    record(connection, "a", "hiking-page-1")
    record(connection, "b", "baking-page-1", "baking-page-2")
    rows = connection.execute(
        "select user_id, item_id, request_id, reason"
        " from nearline.recommend_for_many(array['b', 'a', null, 'b', 'nobody'], 3)"
    ).fetchall()
    for user in ("a", "b", "nobody"):
        assert [row[1] for row in rows if row[0] == user] == items_of(connection, "recommend(%s, 3)", user)
    assert len({row[2] for row in rows}) == len({row[0] for row in rows})
    assert {row[3] for row in rows} == {None}
    with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="10001 entries, expected at most 10000"):
        connection.execute("select * from nearline.recommend_for_many(array_fill('u'::text, array[10001]))")


def test_many_are_divided_among_processes(settings: Settings, connection: Connection) -> None:
    open_shop(connection)
    known = sorted(f"u{n}" for n in range(110))
    for user in known:
        record(connection, user, "hiking-page-1")
    InterestLedger(connection, MeanOfHistory(), 1).rebuild()
    with connect(settings, role=None, autocommit=True) as owner:
        owner.execute("analyze nearline_data.user_interest")
    record(connection, "newcomer", "baking-page-1")

    def launched(asked: Connection) -> int:
        asked.execute("select pg_stat_force_next_flush()")  # else within a second, or when it ends
        (count,) = asked.execute(
            "select parallel_workers_launched from pg_stat_database where datname = current_database()"
        ).fetchone() or (0,)
        return int(count)

    before = launched(connection)
    with connect(settings, autocommit=True) as fresh:
        fresh.add_notice_handler(lambda said: pytest.fail(said.message_primary or ""))
        rows = fresh.execute(
            "select user_id, list_position, item_id from nearline.recommend_for_many(%s, 3)", (["newcomer", *known],)
        ).fetchall()
        assert fresh.execute("show hnsw.ef_search").fetchone() == ("100",)
        assert launched(fresh) > before
    assert [row[:2] for row in rows] == [(user, place) for user in [*known, "newcomer"] for place in (1, 2, 3)]
    for user in ("u0", "u99", "newcomer"):
        assert [row[2] for row in rows if row[0] == user] == items_of(connection, "recommend(%s, 3)", user)


@pytest.mark.parametrize(
    "call",
    [
        "recommend('u')", "similar_items('hiking-page-1')", "recommend_per_kind('u')", "recommend_for_many(array['u'])",
        "recommend_for_session('[]')", "interests('u')", "plan('u')", "explain('u', 'hiking-page-1')",
    ],
)  # fmt: skip
def test_a_first_call_searches_as_the_database_is_set(settings: Settings, connection: Connection, call: str) -> None:
    """Postgres takes no settings of a library that it loads once it has begun to work in parallel."""
    open_shop(connection)
    with connect(settings, autocommit=True) as fresh:
        said: list[str | None] = []
        fresh.add_notice_handler(lambda notice: said.append(notice.message_primary))
        fresh.execute("set debug_parallel_query = on")
        fresh.execute(f"select * from nearline.{call}")  # type: ignore[arg-type]
        assert said == []
        assert fresh.execute("show hnsw.ef_search").fetchone() == ("100",)


def test_a_session_gets_what_a_new_person_with_its_events_gets(connection: Connection) -> None:
    open_shop(connection)
    connection.execute(
        "insert into nearline_data.query_embedding (model_version, query, vector) values (1, 'baking', %s)",
        (vector_of("baking-page-1"),),
    )
    events = [
        {"kind": "view", "item_id": "hiking-page-1"},
        {"kind": "hide", "item_id": "hiking-item-1"},
        {"kind": "search", "text": "baking"},
        {"kind": "like", "item_id": "baking-item-2"},
    ]
    for place, event in enumerate(events):
        connection.execute(
            "select nearline.record_event('new', %s, %s, %s, happened_at => now() - %s * interval '1 s')",
            (event["kind"], event.get("item_id"), event.get("text"), len(events) - place),
        )
    call = "select item_id, score from nearline.{} order by 1"
    session = connection.execute(call.format("recommend_for_session(%s, 50)"), (json.dumps(events),)).fetchall()
    person = connection.execute(call.format("recommend('new', 50)")).fetchall()
    assert [item for item, _ in session] == [item for item, _ in person]
    np.testing.assert_allclose([s for _, s in session], [s for _, s in person], rtol=1e-5)
    assert connection.execute("select count(*) from nearline_data.event where user_id <> 'new'").fetchone() == (0,)


@pytest.mark.parametrize(
    "events",
    [
        "null",
        "{}",
        '["view"]',
        '[{"kind": "view"}]',
        '[{"kind": "stare", "item_id": "a"}]',
        '[{"kind": "view", "item_id": 7}]',
    ],
)
def test_a_wrong_session_is_refused_with_a_hint(connection: Connection, events: str) -> None:
    open_shop(connection)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="events") as problem:
        connection.execute("select * from nearline.recommend_for_session(%s)", (events,))
    assert problem.value.diag.message_hint


def test_trending_is_what_rises(connection: Connection) -> None:
    open_shop(connection)
    now = datetime.now(UTC)
    for number in range(9):
        record(connection, f"then{number}", "hiking-page-1", at=now - timedelta(hours=30))
        record(connection, f"now{number}", "hiking-page-1", "baking-page-1", at=now - timedelta(hours=1))
    for _ in range(50):
        record(connection, "robot", "baking-item-1", at=now - timedelta(hours=1))
    record(connection, "now0", "hiking-item-4", kind="hide", at=now - timedelta(minutes=1))
    rows = connection.execute("select item_id, people, people_before, score from nearline.trending()").fetchall()
    assert [row[:3] for row in rows] == [("baking-page-1", 9, 0), ("baking-item-1", 1, 0), ("hiking-page-1", 9, 9)]
    assert rows[0][3] == pytest.approx(3.0)
    pages = connection.execute("select item_id from nearline.trending(array['page'], '1 hour', 1)").fetchall()
    assert len(pages) == 1


def test_every_list_is_open_to_readers_and_nothing_else_is(settings: Settings, connection: Connection) -> None:
    open_shop(connection)
    record(connection, "u", "hiking-page-1")
    with connect(settings, role="nearline_reader", autocommit=True) as reader:
        reader.execute("set search_path = pg_temp")
        for call in (
            "recommend('u')", "recommend_per_kind('u')", "recommend_for_many(array['u'])", "trending()",
            """recommend_for_session('[{"kind": "view", "item_id": "hiking-page-1"}]')""",
        ):  # fmt: skip
            assert reader.execute(f"select * from nearline.{call}".encode()).fetchall(), call
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("select nearline_data._person('u', 1)")
