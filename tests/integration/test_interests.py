"""What the system believes of a person, in words, and how they correct it."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from psycopg.types.json import Jsonb

from nearline.adapters.postgres import Connection, connect
from nearline.settings import Settings
from small_shop import ITEMS, open_shop

TOPICS = "select topic, weight, share, usual_share, because from nearline.interests"


def shop_with_topics(connection: Connection) -> None:
    for item in ITEMS:
        theme, kind, number = item.split("-")
        attributes = {"theme": theme, "tags": [f"{theme} {kind}", "everybody"], "price": int(number), "long": "x" * 65}
        connection.execute(
            "update nearline_data.item set attributes = %s where item_id = %s", (json.dumps(attributes), item)
        )
    connection.execute("select nearline_data._refresh_topics()")


def record(connection: Connection, user: str, *item_ids: str, kind: str = "view") -> None:
    for item_id in item_ids:
        connection.execute(
            "select nearline.record_event(%s, %s, %s, with_id => %s)", (user, kind, item_id, f"{user} {item_id}")
        )


def test_topics_are_counted_as_the_catalogue_has_them(connection: Connection) -> None:
    open_shop(connection)
    shop_with_topics(connection)
    found = {
        f"{attribute}: {value}": (count, share)
        for attribute, value, count, share in connection.execute(
            "select attribute, value, item_count, share from nearline_data.topic"
        ).fetchall()
    }
    assert found["theme: hiking"] == (12, 0.5)
    assert found["tags: hiking page"] == (4, pytest.approx(1 / 6))
    assert found["kind: page"] == (8, pytest.approx(1 / 3))
    assert found["tags: everybody"] == (24, 1.0)
    assert not any(name.startswith(("price", "long")) for name in found)
    assert connection.execute("select nearline_data._refresh_topics()").fetchone() == (0,), "nothing changed"


def test_an_attribute_whose_name_is_a_text_is_no_topic(connection: Connection) -> None:
    """It would not fit into an index, and nothing could be published."""
    open_shop(connection)
    shop_with_topics(connection)
    name = "".join(map(chr, np.random.default_rng(7).integers(0x4E00, 0x9FFF, 6000)))
    connection.execute("update nearline_data.item set attributes = %s", (Jsonb({name: "x", "y" * 64: "z"}),))
    connection.execute("select nearline_data._refresh_topics()")
    attributes = connection.execute("select distinct attribute from nearline_data.topic").fetchall()
    assert {attribute for (attribute,) in attributes} == {"y" * 64, "kind"}


def test_interests_are_topics_with_the_events_behind_them(connection: Connection) -> None:
    ledger = open_shop(connection)
    shop_with_topics(connection)
    record(connection, "u", "hiking-page-1", "hiking-page-2")
    for is_fresh in (True, False):  # folded in, and then in the vector
        rows = connection.execute(f"{TOPICS}('u')").fetchall()
        topics = [row[0] for row in rows]
        assert "theme: hiking" in topics
        assert not {"theme: baking", "tags: everybody"} & set(topics)
        np.testing.assert_allclose(sum(row[1] for row in rows), 1.0)
        assert all(share > usual for _, _, share, usual, _ in rows)
        because = dict(zip(topics, (row[4] for row in rows), strict=True))["theme: hiking"]
        assert [reason["text"] for reason in because] == [
            "you viewed The hiking page 2",
            "you viewed The hiking page 1",
        ]
        assert because[0]["event_id"] == "u hiking-page-2"
        if is_fresh:
            ledger.catch_up()
    assert len(connection.execute(f"{TOPICS}('u', 1)").fetchall()) == 1
    assert connection.execute(f"{TOPICS}('u', 0)").fetchall() == []
    assert connection.execute(f"{TOPICS}('nobody')").fetchall() == [], "nothing is believed of somebody unknown"


def test_an_event_that_is_taken_back_counts_no_more(connection: Connection) -> None:
    ledger = open_shop(connection)
    shop_with_topics(connection)
    record(connection, "u", "hiking-page-1", "baking-page-1")
    record(connection, "other", "baking-page-1")
    ledger.catch_up()

    def list_of(user: str) -> list[tuple[str, float]]:
        return connection.execute("select item_id, score from nearline.recommend(%s, 3)", (user,)).fetchall()

    before = list_of("other")
    forget = "select nearline.forget_event(%s, %s)"
    assert connection.execute(forget, ("u", "other baking-page-1")).fetchone() == (False,), "it is somebody else's"
    assert connection.execute(forget, ("u", "u hiking-page-1")).fetchone() == (True,)
    assert connection.execute(forget, ("u", "u hiking-page-1")).fetchone() == (False,)
    at_once = list_of("u")
    assert {item.split("-")[0] for item, _ in at_once} == {"baking"}
    ledger.catch_up()
    assert list_of("u") == before == list_of("other"), "as of somebody who never did it"
    assert connection.execute(f"{TOPICS}('u')").fetchall()[0][0] != "theme: hiking"


def test_a_refresh_at_work_does_not_bring_it_back(settings: Settings, connection: Connection) -> None:
    ledger = open_shop(connection)
    record(connection, "u", "hiking-page-1", "baking-page-1")
    ledger.catch_up()
    record(connection, "u", "hiking-page-2")
    with connect(settings, autocommit=True) as refreshing:
        other = open_ledger(refreshing)
        with refreshing.transaction():
            assert other.step().people == 1
            forgetting = threading.Thread(target=_forget, args=(settings, "u", "u hiking-page-2"))
            forgetting.start()
            forgetting.join(0.5)
        forgetting.join()
    ledger.catch_up()
    (count,) = connection.execute(
        "select event_count from nearline_data.user_interest where user_id = 'u'"
    ).fetchone() or (0,)
    assert count == 2


def open_ledger(connection: Connection):  # type: ignore[no-untyped-def]
    from nearline.adapters.interest_ledger import InterestLedger
    from small_shop import MeanOfHistory

    return InterestLedger(connection, MeanOfHistory(), 1)


def _forget(settings: Settings, user: str, event: str) -> None:
    with connect(settings, autocommit=True) as connection:
        connection.execute("select nearline.forget_event(%s, %s)", (user, event))
