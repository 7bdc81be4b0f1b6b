"""What is left of somebody who was erased, or of an event that was taken back: nothing, in no version."""

from __future__ import annotations

import pytest
from psycopg.types.json import Jsonb

from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import Connection
from small_shop import ITEMS, MeanOfHistory, open_shop

LONG = "all about hiking " * 40


def texts(connection: Connection) -> set[tuple[int, str]]:
    return set(connection.execute("select model_version, query from nearline_data.query_embedding").fetchall())


def say(connection: Connection, user: str, text: str, event: str | None = None) -> None:
    connection.execute(
        "select nearline.record_event(%s, 'search', with_text => %s, with_id => %s)", (user, text, event)
    )


def keep_house(connection: Connection) -> None:
    connection.execute("update nearline_data.erased_user set erased_at = erased_at - interval '2 days'")
    connection.execute("select nearline_data._keep_house()")


def test_what_an_erased_person_typed_is_forgotten_unless_others_typed_it(connection: Connection) -> None:
    ledgers = [open_shop(connection), open_shop(connection, 2, live=False)]
    for user, text in (("ada", "my own secret"), ("ada", "tent"), ("ada", LONG), ("eve", "tent"), ("eve", "oven")):
        say(connection, user, text)
    connection.execute("select nearline.record_event('ada', 'comment', %s, with_text => 'my own opinion')", (ITEMS[0],))
    for ledger in ledgers:
        ledger.catch_up()
    assert {text for _, text in texts(connection)} == {"my own secret", "tent", LONG[:500], "oven", "my own opinion"}
    assert connection.execute("select nearline.erase_user('ada')").fetchone() == (4,)
    assert texts(connection) == {(version, text) for version in (1, 2) for text in ("tent", "oven")}


def test_rejected_rows_of_an_erased_person_go_in_whatever_form_they_were_kept(connection: Connection) -> None:
    say(connection, "u.42", "my own secret")
    of_them = [{"user_id": " u.42 "}, {"text": "my own secret"}, {"row": 'x,"u.42",view'}, {"row": "u.42"}]
    of_others = [{"user_id": "u.421"}, {"text": "tent"}, {"row": "u.421,view"}, {"row": "u142,view"}, {"row": "su.42"}]
    for content in of_them + of_others:
        connection.execute(
            "insert into nearline_data.rejected_row (subject, source, reason, content) values ('event', 'a', 'b', %s)",
            (Jsonb(content),),
        )
    connection.execute("select nearline.erase_user('u.42')")
    left = connection.execute("select content from nearline_data.rejected_row order by rejected_id").fetchall()
    assert [content for (content,) in left] == of_others


def test_a_text_that_a_refresh_encoded_meanwhile_is_forgotten_by_housekeeping(connection: Connection) -> None:
    ledger = open_shop(connection)
    say(connection, "ada", "a slip", event="e-1")
    say(connection, "ada", "tent", event="e-2")
    ledger.catch_up()
    connection.execute("select nearline.forget_event('ada', 'e-1')")
    keep_house(connection)
    assert texts(connection) == {(1, "tent")}


@pytest.mark.parametrize("kept_has_cursor", [True, False])
def test_a_kept_version_that_goes_live_later_knows_what_was_taken_back(
    connection: Connection, kept_has_cursor: bool
) -> None:
    live, kept = open_shop(connection), open_shop(connection, 2, live=False)
    for event, item in (("e-1", ITEMS[0]), ("e-2", ITEMS[1])):
        connection.execute("select nearline.record_event('ada', 'view', %s, with_id => %s)", (item, event))
    for ledger in (live, kept):
        ledger.catch_up()
    connection.execute("select nearline.forget_event('ada', 'e-1')")
    live.catch_up()
    vectors = "select model_version from nearline_data.user_interest where user_id = 'ada' order by 1"
    assert connection.execute(vectors).fetchall() == [(1,)]
    if not kept_has_cursor:
        connection.execute("delete from nearline_data.cursor where model_version = 2")
    keep_house(connection)
    remembered = "select user_id from nearline_data.erased_user"
    assert connection.execute(remembered).fetchall() == ([("ada",)] if kept_has_cursor else [])
    if kept_has_cursor:
        # Another process: what this one knew of version 2 is of no help.
        InterestLedger(connection, MeanOfHistory(), 2).catch_up()
        assert connection.execute(vectors).fetchall() == [(1,), (2,)]
        keep_house(connection)
        assert connection.execute(remembered).fetchall() == []
