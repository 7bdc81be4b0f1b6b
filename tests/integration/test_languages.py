"""Reasons in the language that a person reads: what most of the items that they touched are written in."""

from __future__ import annotations

import pytest

from nearline.adapters.postgres import Connection
from small_shop import open_shop

SEEN, TITLE = "hiking-page-1", "The hiking page 1"


@pytest.fixture
def shop(connection: Connection) -> Connection:
    """Somebody who viewed a page, said to be written in a language by each test."""
    ledger = open_shop(connection)
    connection.execute("select nearline.record_event('u', 'view', %s)", (SEEN,))
    connection.execute("select nearline_data._refresh_topics()")
    ledger.catch_up()
    return connection


def written_in(connection: Connection, language: str | None, item: str = SEEN) -> None:
    connection.execute("update nearline_data.item set language = %s where item_id = %s", (language, item))


def first_reason(connection: Connection, user: str = "u") -> str:
    row = connection.execute("select reason ->> 'text' from nearline.recommend(%s, 1)", (user,)).fetchone()
    assert row
    return str(row[0])


@pytest.mark.parametrize(
    ("language", "reason", "deed"),
    [
        (None, f"because you viewed {TITLE}", f"you viewed {TITLE}"),
        ("en-GB", f"because you viewed {TITLE}", f"you viewed {TITLE}"),
        ("tlh", f"because you viewed {TITLE}", f"you viewed {TITLE}"),
        ("de-AT", f"weil Sie {TITLE} angesehen haben", f"Sie haben {TITLE} angesehen"),
        ("DE", f"weil Sie {TITLE} angesehen haben", f"Sie haben {TITLE} angesehen"),
        ("fr", f"parce que vous avez vu {TITLE}", f"vous avez vu {TITLE}"),
        ("es", f"porque ha visto {TITLE}", f"ha visto {TITLE}"),
        ("zh-Hans", f"因为您浏览过 {TITLE}", f"您浏览过 {TITLE}"),
    ],
)
def test_a_person_reads_reasons_in_the_language_of_what_they_touch(
    shop: Connection, language: str | None, reason: str, deed: str
) -> None:
    written_in(shop, language)
    assert first_reason(shop) == reason
    told = {text for (text,) in shop.execute("select text from nearline.explain('u', 'hiking-page-2')").fetchall()}
    assert deed in told
    because = shop.execute("select because -> 0 ->> 'text' from nearline.interests('u')").fetchall()
    assert (deed,) in because


def test_what_no_event_speaks_for_is_said_in_it_too(shop: Connection) -> None:
    written_in(shop, "de")
    texts = shop.execute("select item_id, reason ->> 'text' from nearline.recommend('u', 100)").fetchall()
    assert {text for item, text in texts if item.startswith("baking")} == {"passt zu Ihren Interessen"}


def test_most_of_the_newest_items_decide(shop: Connection) -> None:
    written_in(shop, "de")
    for number in (1, 2):
        written_in(shop, "fr", f"baking-page-{number}")
        shop.execute("select nearline.record_event('u', 'view', %s)", (f"baking-page-{number}",))
    assert first_reason(shop).startswith("parce que")


def test_a_team_adds_a_language_a_sentence_and_a_kind(shop: Connection) -> None:
    written_in(shop, "nl")
    shop.execute("insert into nearline_data.reason_language values ('nl', 'past bij u', 'populair')")
    shop.execute("insert into nearline_data.reason_sentence values ('nl', 'view', 'omdat u {} bekeek', 'u bekeek {}')")
    assert first_reason(shop) == f"omdat u {TITLE} bekeek"
    shop.execute(
        "insert into nearline_data.event_kind (kind, weight, phrase, description) values ('pat', 9, 'patted', '-')"
    )
    shop.execute("select nearline.record_event('u', 'pat', %s)", (SEEN,))
    assert first_reason(shop) == f"because you patted {TITLE}", "a kind that has no sentence yet"


def test_a_title_that_looks_like_a_place_for_one_is_text(shop: Connection) -> None:
    shop.execute("update nearline_data.item set title = '{} <b>%%s' where item_id = %s", (SEEN,))
    written_in(shop, "de")
    assert first_reason(shop) == "weil Sie {} <b>%s angesehen haben"
