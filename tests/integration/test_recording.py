"""What applications write: record_event, record_exposure, and COPY."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from nearline.adapters.postgres import Connection, connect
from nearline.settings import Settings
from small_shop import open_shop


def test_an_event_is_recorded_once_however_often_it_is_sent(connection: Connection) -> None:
    for _ in range(3):
        connection.execute(
            """select nearline.record_event(
                   'u1', 'search', with_text => 'tent', with_id => 'e1', happened_at => '2026-01-02Z')"""
        )
    assert connection.execute("select event_id, user_id, kind, text from nearline_data.event").fetchall() == [
        ("e1", "u1", "search", "tent")
    ]


def test_a_retry_without_a_time_changes_nothing(connection: Connection) -> None:
    for item in ("a", "b"):
        record = "select nearline.record_event('u1', 'view', %s, with_id => 'e1')"
        assert connection.execute(record, (item,)).fetchone() == ("e1",)
    connection.execute("select nearline.record_event('u2', 'view', 'a', with_id => 'e1')")
    found = connection.execute("select user_id, item_id from nearline_data.event order by 1").fetchall()
    assert found == [("u1", "a"), ("u2", "a")], "the id is one person's own"


def test_the_event_of_another_person_is_no_retry(connection: Connection) -> None:
    record = "select nearline.record_event(%s, 'view', 'a', happened_at => '2026-11-01 10:00Z', with_id => 'same')"
    for _ in range(2):
        assert connection.execute(record, ("u1",)).fetchone() == ("same",)
    with pytest.raises(psycopg.Error, match=r"with_id 'same' of .* is an event of another person than 'u2'") as caught:
        connection.execute(record, ("u2",))
    assert (caught.value.sqlstate, bool(caught.value.diag.message_hint)) == ("22023", True)
    assert connection.execute("select user_id from nearline_data.event").fetchall() == [("u1",)]


def test_a_retry_beside_the_first_call_waits_for_it(settings: Settings, connection: Connection) -> None:
    record = "select nearline.record_event('u1', 'view', 'a', with_id => 'e1')"
    with connect(settings) as first, ThreadPoolExecutor(1) as pool:
        first.execute(record)  # and not committed
        retry = pool.submit(connection.execute, record)
        with pytest.raises(TimeoutError):
            retry.result(0.2)
        first.commit()
        assert retry.result().fetchone() == ("e1",)
    assert connection.execute("select count(*) from nearline_data.event").fetchone() == (1,)


@pytest.mark.parametrize("analysed", [False, True])
def test_a_retry_of_somebody_who_did_much_is_found_by_an_index(connection: Connection, analysed: bool) -> None:
    connection.execute(
        """insert into nearline_data.event (event_id, user_id, item_id, kind, occurred_at)
           select 'e' || n, 'u1', 'a', 'view', now() - n * interval '1 minute' from generate_series(1, 10000) n"""
    )
    if analysed:
        connection.execute("reset role; analyze nearline_data.event")

    def pages_read(user: str, number: int) -> int:
        record = f"select nearline.record_event('{user}', 'view', 'a', with_id => '{user}-{number}')"
        plan = connection.execute(f"explain (analyze, buffers, format json) {record}".encode()).fetchone()
        return plan[0][0]["Plan"]["Shared Hit Blocks"]  # type: ignore[index, no-any-return]

    much, little = (min(pages_read(user, number) for number in range(10)) for user in ("u1", "u2"))
    assert much < little + 20, "pages of an index on what they did"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("null, 'view', 'a'", "of_user is null"),
        ("'', 'view', 'a'", "of_user is ''"),
        ("'u1', 'gaze', 'a'", "event_kind is 'gaze', expected one of: cart, click"),
        ("'u1', null, 'a'", "event_kind is null"),
        ("'u1', 'view'", "a view needs on_item, with_text or both"),
        ("'u1', 'search', with_text => repeat('x', 1000000)", "with_text has 1000000 characters"),
        ("'u1', 'view', 'a', happened_at => now() + interval '1 day'", "is in the future"),
        ("'u1', 'rate', 'a', with_value => 'NaN'", "with_value is NaN"),
        ("'u1', 'purchase', 'a', with_value => 1e308", "with_value is 1e+308, expected a number from -1e15 to 1e15"),
        ("'u1', 'return', 'a', with_value => '-Infinity'", "with_value is -Infinity"),
        ("'u1', 'view', 'a', happened_at => '0001-01-01'", "is before 1970"),
        ("'u1', 'view', ''", "on_item is '', expected an id or null"),
        ("'u1', 'view', 'a', with_id => ''", "with_id is '', expected an id or null"),
    ],
)
def test_bad_input_is_refused_with_a_hint(connection: Connection, arguments: str, message: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(f"select nearline.record_event({arguments})")
    assert message in str(caught.value)
    assert caught.value.diag.message_hint
    assert connection.execute("select count(*) from nearline_data.event").fetchone() == (0,)


def test_an_event_of_an_unknown_item_is_kept_with_a_warning(connection: Connection) -> None:
    said: list[str] = []
    connection.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
    connection.execute("select nearline.record_event('u1', 'view', 'not-yet-there')")
    assert said == ["item 'not-yet-there' is not in the catalogue yet; the event is kept and waits for it"]
    assert connection.execute("select item_id from nearline_data.event").fetchall() == [("not-yet-there",)]


def test_a_late_event_finds_a_partition(connection: Connection) -> None:
    connection.execute("select nearline.record_event('u1', 'view', 'a', happened_at => '1997-05-06Z')")
    connection.execute("select nearline.record_event('u1', 'view', 'a', happened_at => '1997-09-06Z')")
    found = connection.execute("select distinct tableoid::regclass::text from nearline_data.event").fetchall()
    assert found == [("nearline_data.event_1997",)]


def test_a_writer_may_copy_events_in_but_not_look(settings: Settings) -> None:
    with connect(settings, role="nearline_writer", autocommit=True) as writer:
        with (
            writer.cursor() as cursor,
            cursor.copy("copy nearline_data.event (event_id, user_id, item_id, kind, occurred_at) from stdin") as copy,
        ):
            copy.write_row(("e1", "u1", "a", "view", "2026-11-01 10:00Z"))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            writer.execute("select * from nearline_data.event")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e308"])
@pytest.mark.parametrize("occurred_at", ["2026-11-01Z", "1998-05-01Z"])
def test_an_amount_that_no_sum_can_hold_is_refused_by_copy_too(
    settings: Settings, connection: Connection, value: str, occurred_at: str
) -> None:
    connection.execute("select nearline_data._ensure_event_partitions('1998-05-01Z', '1998-05-01Z')")
    into = "copy nearline_data.event (event_id, user_id, item_id, kind, value, occurred_at) from stdin"
    with connect(settings, role="nearline_writer", autocommit=True) as writer:
        for amount in ("1e15", "-1e15", None):
            with writer.cursor() as cursor, cursor.copy(into) as copy:
                copy.write_row((f"of {amount}", "u1", "a", "purchase", amount, occurred_at))
        with (
            pytest.raises(psycopg.errors.CheckViolation, match="event_value_is_an_amount"),
            writer.cursor() as cursor,
            cursor.copy(into) as copy,
        ):
            copy.write_row(("e1", "u1", "a", "purchase", value, occurred_at))
    assert connection.execute("select count(*) from nearline_data.event").fetchone() == (3,)


@pytest.mark.parametrize(
    ("column", "value"), [("recorded_at", "now() + interval '1 year'"), ("transaction_id", "'9000000000000'")]
)
def test_a_writer_cannot_say_when_or_by_which_transaction_an_event_was_recorded(
    settings: Settings, connection: Connection, column: str, value: str
) -> None:
    into = "insert into nearline_data.event (event_id, user_id, item_id, kind, occurred_at"
    insert = into + "{}) values ('e', 'u', 'a', 'view', {})"
    with connect(settings, role="nearline_writer", autocommit=True) as writer:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            writer.execute((insert.format(f", {column}", f"now(), {value}")).encode())
        with pytest.raises(psycopg.errors.CheckViolation, match="event_is_not_in_the_future"):
            writer.execute(insert.format("", "now() + interval '6 minutes'").encode())
        writer.execute(insert.format("", "now() + interval '4 minutes'").encode())
    assert connection.execute("select count(*) from nearline_data.event").fetchone() == (1,)


def test_an_exposure_counts_once_for_a_request_and_item(connection: Connection) -> None:
    open_shop(connection)
    record = "select nearline.record_exposure('00000000-0000-0000-0000-000000000001', 'u1', array['a', 'b', 'a', null])"
    assert connection.execute(record).fetchone() == (2,)
    assert connection.execute(record).fetchone() == (0,)
    shown = connection.execute(
        "select item_id, list_position, model_version from nearline_data.exposure order by list_position"
    ).fetchall()
    assert shown == [("a", 1, 1), ("b", 2, 1)]


REQUEST = "'00000000-0000-0000-0000-000000000001'"


def test_positions_strategy_and_version_are_those_of_the_list(connection: Connection) -> None:
    open_shop(connection)
    open_shop(connection, 2, live=False)
    connection.execute(
        f"""select nearline.record_exposure({REQUEST}, 'u1', array['a', 'b', 'a'], at_positions => array[12, 11, 13],
                with_strategy => 'fresh', from_version => 2, happened_at => now() - interval '1 hour')"""
    )
    shown = connection.execute(
        """select item_id, list_position, strategy, model_version, now() - shown_at > interval '59 minutes'
           from nearline_data.exposure order by item_id"""
    ).fetchall()
    assert shown == [("a", 12, "fresh", 2, True), ("b", 11, "fresh", 2, True)]


def test_more_of_a_list_adds_to_it_and_the_list_of_another_person_is_refused(connection: Connection) -> None:
    record = f"select nearline.record_exposure({REQUEST}, %s, %s, %s)"
    assert connection.execute(record, ("u1", ["a", "b"], None)).fetchone() == (2,)
    assert connection.execute(record, ("u1", ["b", "c"], [2, 3])).fetchone() == (1,)
    for items in (["a"], ["d"]):
        with pytest.raises(psycopg.Error, match="is a list of another person than 'u2'") as caught:
            connection.execute(record, ("u2", items, None))
        assert caught.value.diag.message_hint
    assert connection.execute("select user_id, item_id from nearline_data.exposure order by 2").fetchall() == [
        ("u1", "a"),
        ("u1", "b"),
        ("u1", "c"),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("null, 'u1', array['a']", "of_request is null"),
        (f"{REQUEST}, null, array['a']", "to_user is null"),
        (f"{REQUEST}, '', array['a']", "to_user is ''"),
        (f"{REQUEST}, 'u1', null", "shown_items is null"),
        (f"{REQUEST}, 'u1', array_fill('a'::text, array[1001])", "shown_items has 1001 entries, expected at most 1000"),
        (f"{REQUEST}, 'u1', array[array['a'], array['b']]", "shown_items has 2 dimensions, expected a list of texts"),
        (f"{REQUEST}, 'u1', array['a', '']", "shown_items has '', expected ids of items"),
        (f"{REQUEST}, 'u1', array['a', 'b'], array[1]", "at_positions has 1 numbers for 2 items"),
        (f"{REQUEST}, 'u1', array['a', 'b'], array[1, 0]", "at_positions has 0, expected whole numbers from 1"),
        (f"{REQUEST}, 'u1', array['a', 'b'], array[1, null]", "at_positions has null"),
        (f"{REQUEST}, 'u1', array['a'], with_strategy => ''", "with_strategy is ''"),
        (f"{REQUEST}, 'u1', array['a'], from_version => 77", "from_version is 77"),
        (f"{REQUEST}, 'u1', array['a'], happened_at => now() + interval '1 day'", "is in the future"),
        (f"{REQUEST}, 'u1', array['a'], happened_at => now() - interval '181 days'", "more than 180 days ago"),
    ],
)
def test_a_bad_exposure_is_refused_with_a_hint(connection: Connection, arguments: str, message: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(f"select nearline.record_exposure({arguments})")
    assert message in str(caught.value)
    assert caught.value.diag.message_hint
    assert caught.value.sqlstate == ("54000" if "1001 entries" in message else "22023")
    assert connection.execute("select count(*) from nearline_data.exposure").fetchone() == (0,)


def test_an_empty_list_was_shown_to_nobody(connection: Connection) -> None:
    assert connection.execute(f"select nearline.record_exposure({REQUEST}, 'u1', '{{}}')").fetchone() == (0,)
