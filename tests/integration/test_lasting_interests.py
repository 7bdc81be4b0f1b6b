"""What somebody always likes beside what they are after now, counted in what they did."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from nearline.adapters.postgres import Connection, connect
from nearline.settings import Settings
from small_shop import ITEMS, open_shop

NOW = datetime.now(UTC)
SPANS = "select topic, lasting, lately, usual_share, events from nearline.lasting_interests"


@pytest.fixture
def shop(connection: Connection) -> Connection:
    """Items with a theme and a tag for topics, and months to record in."""
    open_shop(connection)
    for item in ITEMS:
        theme, kind, _ = item.split("-")
        connection.execute(
            "update nearline_data.item set attributes = %s where item_id = %s",
            (json.dumps({"theme": theme, "tag": f"{theme} {kind}"}), item),
        )
    connection.execute("select nearline_data._refresh_topics()")
    connection.execute("select nearline_data._ensure_event_partitions(now() - interval '2 years', now())")
    return connection


def record(connection: Connection, item: str, days_ago: float, kind: str = "view", user: str = "u") -> None:
    connection.execute(
        "select nearline.record_event(%s, %s, %s, happened_at => %s, with_id => %s)",
        (user, kind, item, NOW - timedelta(days=days_ago), f"{user} {item} {days_ago}"),
    )


def spans(connection: Connection, arguments: str = "'u'") -> dict[str, tuple[float, float]]:
    return {row[0]: row[1:3] for row in connection.execute(f"{SPANS}({arguments})".encode()).fetchall()}


def test_an_event_counts_half_after_the_half_life(shop: Connection) -> None:
    record(shop, "hiking-page-1", 90)
    record(shop, "baking-item-1", 0)
    found = spans(shop)
    assert found["tag: hiking page"][0] == pytest.approx(0.5 / 1.5)
    assert found["tag: baking item"][0] == pytest.approx(1 / 1.5)
    (span,) = shop.execute("select fold_span from nearline_data.model_version").fetchone() or (0,)
    faded = math.exp(-1 / span)
    assert found["tag: hiking page"][1] == pytest.approx(faded / (1 + faded), rel=1e-6)
    assert spans(shop, "'u', '45 days'")["tag: baking item"][0] == pytest.approx(1 / 1.25)
    assert spans(shop, "'u', 'infinity'")["tag: hiking page"][0] == pytest.approx(0.5)
    assert spans(shop, "'u', '1 microsecond'")["tag: baking item"][0] == pytest.approx(1)


def test_what_lasts_and_what_is_new_differ(shop: Connection) -> None:
    for day in range(100, 400, 10):
        record(shop, ITEMS[day % 12], day, "purchase")  # the first twelve are about hiking
    for number in (1, 2, 3, 4):
        record(shop, f"baking-page-{number}", number / 100)
    rows = shop.execute(f"{SPANS}('u', '1 year')".encode()).fetchall()
    assert {row[0]: row[4] for row in rows}["theme: hiking"] == 30
    found = spans(shop, "'u', '1 year'")
    assert found["theme: hiking"][0] > 0.9
    assert found["theme: baking"][1] > found["theme: hiking"][1], "lately it is baking"
    assert all(max(lasting, lately) > 1.2 * usual for _, lasting, lately, usual, _ in rows)
    assert len(shop.execute(f"{SPANS}('u', max_topics => 1)".encode()).fetchall()) == 1
    assert shop.execute(f"{SPANS}('u', max_topics => 0)".encode()).fetchall() == []


def test_what_is_disliked_counts_against_its_topics(shop: Connection) -> None:
    record(shop, "hiking-page-1", 0, "like")
    record(shop, "hiking-item-1", 0.01)
    record(shop, "baking-page-1", 0.02, "dislike")
    rows = shop.execute(f"{SPANS}('u')".encode()).fetchall()
    found = {row[0]: row[1] for row in rows}
    weight = 4 + 3
    assert found["theme: hiking"] == pytest.approx(4 / weight, rel=1e-3)
    assert found["theme: baking"] == pytest.approx(-3 / weight, rel=1e-3)
    assert rows[-1][0] == "theme: baking", "last"
    assert "kind: page" not in found, "what they like and what they dislike of it cancel out"


def test_the_next_call_knows_and_forgets(shop: Connection) -> None:
    assert spans(shop, "'nobody'") == {}
    record(shop, "hiking-page-1", 1)
    record(shop, "never-in-the-catalogue", 0)
    assert spans(shop)["theme: hiking"] == (pytest.approx(1), pytest.approx(1)), "an unknown item says nothing"
    shop.execute("select nearline.forget_event('u', 'u hiking-page-1 1')")
    assert spans(shop) == {}
    record(shop, "hiking-page-2", 1)
    shop.execute("select nearline.erase_user('u')")
    assert spans(shop) == {}


@pytest.mark.parametrize("half_life", ["null", "'0'", "'-1 day'"])
def test_a_half_life_that_is_none_is_refused(shop: Connection, half_life: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=r"half_life is .*, expected an interval above 0"):
        spans(shop, f"'u', {half_life}")


def test_applications_see_one_person_and_the_engine_everybody(settings: Settings, shop: Connection) -> None:
    record(shop, "hiking-page-1", 10)
    record(shop, "baking-page-1", 10, user="v")
    ledger = open_ledger(shop)
    ledger.catch_up()
    found = shop.execute(
        "select user_id, attribute || ': ' || value, lasting from nearline_data.interest_span where attribute = 'theme'"
        " order by 1"
    ).fetchall()
    assert found == [("u", "theme: hiking", 1.0), ("v", "theme: baking", 1.0)]
    with connect(settings, role="nearline_reader", autocommit=True) as reader:
        assert spans(reader, "'v'")["theme: baking"][0] == 1.0
        for name in ("interest_span", "_interest_spans('u', '1 day')"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(f"select * from nearline_data.{name}".encode())


def open_ledger(connection: Connection):  # type: ignore[no-untyped-def]
    from nearline.adapters.interest_ledger import InterestLedger
    from small_shop import MeanOfHistory

    return InterestLedger(connection, MeanOfHistory(), 1)
