from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.core.cleaning import MAX_TITLE, Event, Item, Rejection, clean_event, clean_item
from nearline.core.plain_text import clean_text

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ITEM: dict[str, Any] = {"item_id": "a", "kind": "page", "title": "Tea"}
EVENT: dict[str, Any] = {"user_id": "ada", "item_id": "a", "kind": "view", "occurred_at": "2026-02-01T10:00:00Z"}
KINDS = {"view", "search"}

pieces = st.sampled_from(
    ["<b>", "</p>", "<", ">", "&amp;", "&lt;", "&", "amp;", "#38;", "\0", " ", "é", "e\u0301", "茶", "x"]
)
texts = st.one_of(st.text(max_size=60), st.lists(pieces, max_size=25).map("".join))


@given(texts)
@settings(max_examples=300, deadline=None)
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    assert clean_text(clean_text(text)) == clean_text(text)


@given(texts)
def test_clean_text_is_one_printable_line(text: str) -> None:
    cleaned = clean_text(text)
    assert cleaned == " ".join(cleaned.split())
    assert "\0" not in cleaned
    cleaned.encode()


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  Tea \n\t for two ", "Tea for two"),
        ("<p>Tea</p><p>for <b>t</b>wo</p>", "Tea for two"),
        ("<script>alert(1)</script>Tea", "Tea"),
        ("&lt;b&gt;Tea&lt;/b&gt; &amp;amp; cake", "Tea & cake"),
        ("1 < 2 & 3 > 2", "1 < 2 & 3 > 2"),
        ("I <3 tea", "I <3 tea"),
        ("Tea\0\x07", "Tea"),
        ("cafe\u0301", "café"),
        ("手冲咖啡", "手冲咖啡"),
    ],
)
def test_clean_text(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


@pytest.mark.parametrize("attack", ["<" * 20_000 + "b>" * 20_000, "&" + "amp;" * 20_000 + "lt;b&gt;"])
def test_deeply_nested_markup_takes_no_longer_than_text(attack: str) -> None:
    assert "<b>" not in clean_text(attack)


def test_a_clean_item() -> None:
    row = ITEM | {"description": "<i>hot</i>", "attributes": '{"tags": ["a\\u0000b"]}', "is_active": "false"}
    assert clean_item(row) == Item("a", "page", "Tea", "hot", None, '{"tags": ["a b"]}', None, False)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"item_id": None}, "item_id is missing"),
        ({"item_id": " "}, "item_id is missing"),
        ({"item_id": "a\0"}, "item_id has unprintable characters"),
        ({"item_id": "茶" * 334}, "item_id has more than 1,000 bytes"),
        ({"kind": ""}, "kind is missing"),
        ({"title": "<br>"}, "title is missing"),
        ({"title": "x" * (MAX_TITLE + 1)}, "title has more than 10,000 characters"),
        ({"title": "caf\ufffd"}, "title is not valid UTF-8"),
        ({"description": "x" * 100_001}, "description has more than 100,000 characters"),
        ({"attributes": "[]"}, "attributes is not a JSON object"),
        ({"attributes": "{'a': 1}"}, "attributes is not valid JSON"),
        ({"attributes": '{"a": NaN}'}, "attributes is not valid JSON"),
        ({"attributes": "[" * 50_000}, "attributes is not valid JSON"),
        ({"is_active": "perhaps"}, "is_active is neither true nor false"),
    ],
)
def test_a_bad_item_has_its_reason(change: dict[str, Any], reason: str) -> None:
    assert clean_item(ITEM | change) == Rejection(reason)


def test_a_clean_event_has_an_id_of_its_content() -> None:
    event = clean_event(EVENT, KINDS, NOW)
    assert isinstance(event, Event)
    assert event.occurred_at == datetime(2026, 2, 1, 10, tzinfo=UTC)
    same_moment = clean_event(EVENT | {"occurred_at": "2026-02-01T11:00:00+01:00"}, KINDS, NOW)
    assert same_moment == event
    other = clean_event(EVENT | {"item_id": "b"}, KINDS, NOW)
    assert isinstance(other, Event)
    assert other.event_id != event.event_id


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"user_id": None}, "user_id is missing"),
        ({"kind": "sniff"}, "kind 'sniff' is unknown"),
        ({"item_id": None}, "item_id is missing"),
        ({"kind": "search", "text": " <b> "}, "a search needs text"),
        ({"value": "many"}, "value is not a finite number"),
        ({"value": float("inf")}, "value is not a finite number"),
        ({"value": "1e308"}, "value is beyond 1e+15"),
        ({"value": -1.1e15}, "value is beyond 1e+15"),
        ({"occurred_at": None}, "occurred_at is missing"),
        ({"occurred_at": "2026-02-01T10:00:00"}, "occurred_at has no time zone"),
        ({"occurred_at": datetime(2026, 2, 1)}, "occurred_at has no time zone"),
        ({"occurred_at": NOW + timedelta(minutes=6)}, "occurred_at is in the future"),
        ({"occurred_at": "1969-12-31T23:59:59Z"}, "occurred_at is before 1970"),
    ],
)
def test_a_bad_event_has_its_reason(change: dict[str, Any], reason: str) -> None:
    assert clean_event(EVENT | change, KINDS, NOW) == Rejection(reason)


@given(
    st.dictionaries(st.sampled_from([*ITEM, *EVENT, "attributes", "value", "text"]), st.none() | texts | st.floats())
)
def test_any_row_is_clean_or_has_a_reason(row: dict[str, Any]) -> None:
    for found in (clean_item(row), clean_event(EVENT | row, KINDS, NOW)):
        assert isinstance(found, Item | Event | Rejection)
        if not isinstance(found, Rejection) and found.attributes:
            assert isinstance(json.loads(found.attributes), dict)
