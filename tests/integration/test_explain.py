"""Why an item stands where it does: what each event contributes, exact or measured, and the list without it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.rows import class_row

from nearline.adapters import drain as drain_module
from nearline.adapters.drain import Drain
from nearline.adapters.explanations import EVENTS_A_PERSON, Explanations
from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import Connection, connect
from nearline.adapters.version_tables import drop_tables
from nearline.settings import Settings
from small_shop import ITEMS, MeanOfHistory, open_shop

FIRST = "hiking-page-1"
ACTS = [
    ("view", "hiking-page-1"), ("view", "hiking-product-2"), ("dislike", "hiking-item-4"),
    ("search", "all about baking"), ("view", "baking-page-2"), ("purchase", "hiking-item-1"), ("view", "hiking-page-1"),
]  # fmt: skip


@dataclass
class Row:
    event_id: str | None
    kind: str | None
    item_id: str | None
    text: str
    how: str
    share: float | None
    interest_part: float | None
    transition_part: float | None
    score: float | None
    score_without: float | None
    rank: int | None
    rank_without: int | None
    model_version: int
    strategy_used: str


def record(connection: Connection, user: str = "u", acts: list[tuple[str, str]] = ACTS, first: int = 0) -> None:
    for number, (kind, what) in enumerate(acts, start=first):
        item, text = (None, what) if kind == "search" else (what, None)
        connection.execute(
            """select nearline.record_event(%s, %s, %s, %s, with_id => %s
                   , happened_at => '2026-11-01Z'::timestamptz + %s * interval '1 minute')""",
            (user, kind, item, text, f"{user}-{number}", number),
        )


def explain(connection: Connection, item: str, user: str = "u", **arguments: Any) -> dict[str | None, Row]:
    names = "".join(f", {name} => %({name})s" for name in arguments)
    with connection.cursor(row_factory=class_row(Row)) as cursor:
        rows = cursor.execute(
            f"select * from nearline.explain(%(user)s, %(item)s{names})".encode(),
            {"user": user, "item": item, **arguments},
        ).fetchall()
    assert rows[0].event_id is None
    return {row.event_id: row for row in rows}


def hows(rows: dict[str | None, Row]) -> set[str]:
    return {row.how for event, row in rows.items() if event}


def wishes(connection: Connection) -> int:
    row = connection.execute("select count(*) from nearline_data.explanation_wanted").fetchone()
    assert row is not None
    return int(row[0])


def measured(connection: Connection, user: str = "u") -> dict[str, np.ndarray | None]:
    return dict(
        connection.execute(
            "select event_id, vector from nearline_data.interest_without where user_id = %s", (user,)
        ).fetchall()
    )


def stored(connection: Connection, user: str = "u") -> np.ndarray | None:
    row = connection.execute("select vector from nearline_data.user_interest where user_id = %s", (user,)).fetchone()
    return row[0] if row else None


def listed(connection: Connection, user: str = "u", **arguments: Any) -> dict[str, tuple[int, float]]:
    """Places and scores in the longest list."""
    names = "".join(f", {name} => %({name})s" for name in arguments)
    rows = connection.execute(
        f"select item_id, list_position, score from nearline.recommend(%(user)s, 1000{names})".encode(),
        {"user": user, **arguments},
    ).fetchall()
    return {item: (place, score) for item, place, score in rows}


def test_it_stands_where_the_list_has_it(connection: Connection) -> None:
    ledger = open_shop(connection)
    connection.execute(
        """insert into nearline_data.strategy
               (name, interest_weight, transition_weight, popular_weight, fresh_weight, exploration)
           values ('all of it', 0.7, 2, 0.4, 0.3, 0), ('curious', 1, 1, 0, 0, 0.5), ('what follows', 0, 1, 0, 0, 0)"""
    )
    record(connection, "v", [("purchase", "baking-item-2")])
    connection.execute("select nearline_data._refresh_popularity()")
    record(connection, acts=ACTS[:5])
    ledger.catch_up()
    record(connection, acts=ACTS[5:], first=5)  # folded in
    for strategy in (None, "all of it", "curious", "what follows"):
        with connection.transaction():  # one moment: what is new fades
            list_ = listed(connection, strategy=strategy)
            assert len(list_) == len(ITEMS) - 5
            for item, (place, score) in list_.items():
                now = explain(connection, item, strategy=strategy)[None]
                assert (now.rank, now.score) == (place, pytest.approx(score, abs=1e-5)), (strategy, item)
                assert now.strategy_used == (strategy or "default")
    parts = explain(connection, "hiking-page-2")[None]
    assert parts.score == pytest.approx(parts.interest_part + parts.transition_part, abs=1e-5)
    assert explain(connection, FIRST)[None].rank is not None, "an item that was seen can be explained too"


def test_what_a_strategy_gives_all_items_is_read_in_one_scan(connection: Connection) -> None:
    """And not item by item, once for each event."""
    ledger = open_shop(connection)
    connection.execute("insert into nearline_data.strategy (name, fresh_weight, exploration) values ('new', 0.5, 0.1)")
    connection.execute("delete from nearline_data.item_transition")
    record(connection)
    ledger.catch_up()
    looks = []
    for strategy in ("default", "new"):
        with connection.transaction():
            explain(connection, "baking-page-2", strategy=strategy)
            looks += connection.execute(
                "select idx_scan from pg_stat_xact_user_tables where relname = 'item'"
            ).fetchall()
    ((plain,), (new,)) = looks
    assert new <= plain + 5 * (1 + len(ACTS)), "the item itself at each event, and not all of them"


def test_without_an_event_means_as_if_it_were_forgotten(connection: Connection) -> None:
    """Every score and place without an event is that of the real list after forget_event and a refresh."""
    ledger = open_shop(connection)
    record(connection)
    ledger.catch_up()
    items = ["hiking-page-2", "hiking-product-3", "baking-page-3", "baking-item-4"]
    waiting = explain(connection, items[0])
    assert hows(waiting) == {"waiting"}
    assert {row.score_without for row in waiting.values()} == {None}
    assert Explanations(ledger).take() == 1
    said = {item: explain(connection, item) for item in items}
    assert hows(said[items[0]]) == {"measured"}
    known = {event: row.transition_part for event, row in said[items[0]].items()}
    assert {event: row.transition_part for event, row in waiting.items()} == known
    vectors = measured(connection)
    for number in range(len(ACTS)):
        event = f"u-{number}"
        with connection.transaction(force_rollback=True):
            connection.execute("select nearline.forget_event('u', %s)", (event,))
            # In the same transaction, so no step would read it: its people are refreshed by name.
            ledger.writer.refresh(["u"], ledger.position())
            vector = vectors[event]
            assert vector is not None
            assert np.array_equal(vector, stored(connection)), "bit for bit"
            list_ = listed(connection)
            for item in items:
                row = said[item][event]
                place, score = list_[item]
                assert row.score_without == pytest.approx(score, abs=1e-5), (event, item)
                assert row.rank_without == place, (event, item)
                assert row.share == pytest.approx(row.score - score, abs=1e-5)
                assert row.share == pytest.approx(row.interest_part + row.transition_part, abs=1e-5)


def test_an_event_that_was_folded_in_is_exact_at_once(connection: Connection) -> None:
    ledger = open_shop(connection)
    record(connection, acts=ACTS[:3])
    ledger.catch_up()
    record(connection, acts=ACTS[4:6], first=4)
    said = explain(connection, "hiking-item-2")
    assert {event: row.how for event, row in said.items() if event} == {
        "u-0": "waiting", "u-1": "waiting", "u-2": "waiting", "u-4": "exact", "u-5": "exact"
    }  # fmt: skip
    for event in ("u-4", "u-5"):
        with connection.transaction(force_rollback=True):
            connection.execute("delete from nearline_data.event where event_id = %s", (event,))
            place, score = listed(connection)["hiking-item-2"]
        assert (said[event].rank_without, said[event].score_without) == (place, pytest.approx(score, abs=1e-5))
    assert said["u-5"].share > 0.1, "it follows what was bought"
    assert said["u-5"].text == "you bought The hiking item 1"
    assert explain(connection, "baking-item-2")["u-4"].share > 1


def test_the_nearline_job_is_woken_and_measures(
    settings: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain_module, "LOOK_SECONDS", 15.0)  # so that it has to be told
    open_shop(connection)
    record(connection)
    stop = threading.Event()
    drain = Drain(settings, lambda version: MeanOfHistory(), deadline=time.monotonic() + 60, stop=stop)
    thread = threading.Thread(target=drain.run)
    thread.start()
    try:
        while stored(connection) is None:
            time.sleep(0.005)
        time.sleep(0.3)  # nothing to do: it waits now
        began = time.monotonic()
        while "waiting" in hows(explain(connection, "hiking-page-2")):
            assert time.monotonic() < began + 20
            time.sleep(0.02)
        assert time.monotonic() < began + 10, "told of the wish, and not at the next look"
        assert hows(explain(connection, "baking-page-1")) == {"measured"}, "one answer serves all items"
    finally:
        stop.set()
        connection.execute("notify nearline_event")
        thread.join(20)
    assert wishes(connection) == 0


def test_once_is_until_nothing_is_asked_any_more(settings: Settings, connection: Connection) -> None:
    open_shop(connection).catch_up()
    people = [f"u{number}" for number in range(7)]
    for user in people:
        record(connection, user, ACTS[:2])

    def run() -> None:
        Drain(settings, lambda version: MeanOfHistory(), deadline=0.0, stop=threading.Event()).run()

    run()
    assert {how for user in people for how in hows(explain(connection, FIRST, user))} == {"waiting"}
    run()
    assert {how for user in people for how in hows(explain(connection, FIRST, user))} == {"measured"}


def test_what_was_measured_counts_for_one_stored_interest_only(connection: Connection) -> None:
    ledger = open_shop(connection)
    record(connection, acts=ACTS[:2])
    ledger.catch_up()
    for _ in range(3):
        explain(connection, "hiking-page-2")
    assert wishes(connection) == 1, "asking again does not pile up"
    Explanations(ledger).take()
    record(connection, acts=ACTS[2:3], first=2)
    assert hows(explain(connection, "hiking-page-2")) == {"measured", "exact"}, "a newer event is folded in"
    ledger.catch_up()
    assert hows(explain(connection, "hiking-page-2")) == {"waiting"}
    Explanations(ledger).take()
    assert hows(explain(connection, "hiking-page-2")) == {"measured"}
    assert measured(connection).keys() == {"u-0", "u-1", "u-2"}
    ledger.replay(["u"])  # the same vector, written again
    assert hows(explain(connection, "hiking-page-2")) == {"waiting"}


def test_a_look_when_nobody_asks_costs_no_transaction_id(connection: Connection) -> None:
    explanations = Explanations(open_shop(connection))
    newest = "select pg_snapshot_xmax(pg_current_snapshot())::text"
    before = connection.execute(newest).fetchone()
    assert explanations.take() == 0
    assert connection.execute(newest).fetchone() == before


def test_a_wish_outlives_a_job_that_dies(connection: Connection) -> None:
    ledger = open_shop(connection)
    record(connection)
    ledger.catch_up()
    explain(connection, FIRST)

    class Dies(MeanOfHistory):
        def interests(self, histories):
            raise SystemExit("killed")

    with pytest.raises(SystemExit, match="killed"):
        Explanations(InterestLedger(connection, Dies(), 1)).take()
    assert (wishes(connection), measured(connection)) == (1, {})
    assert Explanations(ledger).take() == 1
    assert (wishes(connection), len(measured(connection))) == (0, len(ACTS))


def test_a_model_that_fails_without_one_event_leaves_that_one_unmeasured(connection: Connection) -> None:
    ledger = open_shop(connection)
    record(connection, acts=ACTS[:3])
    ledger.catch_up()
    explain(connection, FIRST)

    class Fails(MeanOfHistory):
        def interests(self, histories):
            if any(list(history.kinds) == ["view", "dislike"] and history.vectors[0][1] == 0 and
                   history.vectors[0][2] > 0 for history in histories):  # fmt: skip
                raise ValueError("a number out of range")
            return super().interests(histories)

    assert Explanations(InterestLedger(connection, Fails(), 1)).take() == 1
    said = explain(connection, "hiking-page-2")
    assert {event: row.how for event, row in said.items() if event} == {
        "u-0": "measured", "u-1": "unmeasured", "u-2": "measured"
    }  # fmt: skip
    assert said["u-1"].share is None
    assert wishes(connection) == 0, "asking again would not help"


def test_without_their_only_event_a_person_is_new(connection: Connection) -> None:
    ledger = open_shop(connection)
    record(connection, "v", [("purchase", "baking-item-2")])
    connection.execute("select nearline_data._refresh_popularity()")
    record(connection, acts=ACTS[:1])
    ledger.catch_up()
    explain(connection, FIRST)
    Explanations(ledger).take()
    assert measured(connection) == {"u-0": None}
    said = explain(connection, "baking-item-2")["u-0"]
    assert (said.how, said.rank_without, said.score_without) == ("measured", 1, 1.0), "the most popular"
    said = explain(connection, FIRST)["u-0"]
    assert (said.rank, said.rank_without, said.score_without) == (2, None, None), "in no list of a newcomer"
    assert said.share == said.score


def test_people_of_whom_nothing_is_known(connection: Connection) -> None:
    open_shop(connection)
    for user in ("nobody", "", None):
        said = explain(connection, FIRST, user)  # type: ignore[arg-type]
        assert list(said) == [None]
        assert (said[None].how, said[None].text) == ("now", "The hiking page 1")
    assert wishes(connection) == 0


def test_only_the_newest_events_are_asked_about(connection: Connection) -> None:
    ledger = open_shop(connection)
    record(connection, acts=[("view", ITEMS[number % 24]) for number in range(45)])
    ledger.catch_up()
    assert len(explain(connection, FIRST)) == 1 + EVENTS_A_PERSON
    Explanations(ledger).take()
    assert measured(connection).keys() == {f"u-{number}" for number in range(15, 45)}
    assert hows(explain(connection, FIRST)) == {"measured"}


def test_in_a_large_catalogue_the_nearest_tell(connection: Connection) -> None:
    ledger = open_shop(connection)
    record(connection)
    ledger.catch_up()
    explain(connection, FIRST)
    Explanations(ledger).take()
    items = ["hiking-page-2", "baking-page-4", FIRST]
    small = [explain(connection, item) for item in items]
    connection.execute("update nearline_data.model_version set item_count = 1000000")
    for item, before in zip(items, small, strict=True):
        after = explain(connection, item)
        assert list(after) == list(before)
        for event, row in after.items():
            assert (row.rank, row.rank_without) == (before[event].rank, before[event].rank_without)
            assert row.score == pytest.approx(before[event].score, abs=1e-5)


def test_what_counts_as_seen_is_as_in_the_list(connection: Connection) -> None:
    ledger = open_shop(connection)
    record(connection)
    ledger.catch_up()
    list_ = listed(connection, seen_kinds=["purchase"])
    assert set(ITEMS) - list_.keys() == {"hiking-item-1", "hiking-item-4"}, "what was bought, and what was disliked"
    for item, (place, _) in list_.items():
        assert explain(connection, item, seen_kinds=["purchase"])[None].rank == place
    assert (
        explain(connection, "hiking-page-2", seen_within="0")[None].rank
        == (listed(connection, seen_within="0")["hiking-page-2"][0])
    )


def test_without_a_dislike_its_item_is_not_seen_whatever_counts_as_seen(connection: Connection) -> None:
    open_shop(connection)
    record(connection)
    said = {item: explain(connection, item, seen_kinds=["purchase"])["u-2"] for item in ITEMS}
    assert {row.how for row in said.values()} == {"exact"}
    connection.execute("delete from nearline_data.event where event_id = 'u-2'")
    list_ = listed(connection, seen_kinds=["purchase"])
    assert "hiking-item-4" in list_
    assert {item: said[item].rank_without for item in list_} == {item: place for item, (place, _) in list_.items()}


def test_two_shards_measure_each_its_people(connection: Connection) -> None:
    open_shop(connection)
    people = [f"u{number}" for number in range(12)]
    for user in people:
        record(connection, user, ACTS[:2])
    shards = [InterestLedger(connection, MeanOfHistory(), 1, shard, 2) for shard in range(2)]
    shards[0].shard.divide()
    for shard in shards:
        shard.catch_up()
    for user in people:
        explain(connection, FIRST, user)
    whose = dict(
        connection.execute("select u, nearline_data._shard_of(u, 2) from unnest(%s::text[]) as u", (people,)).fetchall()
    )
    assert set(whose.values()) == {0, 1}
    while Explanations(shards[1]).take():
        pass
    assert {user for user in people if measured(connection, user)} == {user for user in people if whose[user] == 1}
    while Explanations(shards[0]).take():
        pass
    assert all(hows(explain(connection, FIRST, user)) == {"measured"} for user in people)


def test_of_an_erased_person_nothing_is_left(settings: Settings, connection: Connection) -> None:
    ledger = open_shop(connection)
    record(connection)
    record(connection, "v")
    ledger.catch_up()
    for user in ("u", "v"):
        explain(connection, FIRST, user)
    Explanations(ledger).take()
    ledger.replay(["u"])
    explain(connection, FIRST)
    assert wishes(connection) == 1
    connection.execute("select nearline.erase_user('u')")
    assert (measured(connection), wishes(connection)) == ({}, 0)
    assert len(measured(connection, "v")) == len(ACTS)
    connection.execute("select nearline.forget_event('v', 'v-3')")
    ledger.catch_up()
    assert measured(connection, "v") == {}, "they know the event that was taken back"


def test_an_erasure_in_the_middle_of_measuring_leaves_nothing(settings: Settings, connection: Connection) -> None:
    ledger = open_shop(connection)
    record(connection)
    ledger.catch_up()
    explain(connection, FIRST)
    erasing: list[threading.Thread] = []

    def erase() -> None:
        with connect(settings, autocommit=True) as other:
            other.execute("select nearline.erase_user('u')")

    class ErasesMeanwhile(MeanOfHistory):
        def interests(self, histories):
            if not erasing:
                erasing.append(threading.Thread(target=erase))
                erasing[0].start()
                time.sleep(0.2)
            return super().interests(histories)

    Explanations(InterestLedger(connection, ErasesMeanwhile(), 1)).take()
    erasing[0].join(20)
    ledger.catch_up()
    assert (stored(connection), measured(connection), wishes(connection)) == (None, {}, 0)


def test_a_version_that_is_not_live_is_not_measured_and_leaves_nothing(connection: Connection) -> None:
    ledger = open_shop(connection)
    record(connection)
    ledger.catch_up()
    explain(connection, FIRST)
    Explanations(ledger).take()
    open_shop(connection, 2)
    assert hows(explain(connection, FIRST, as_of_model=1)) == {"measured"}, "of when it was live"
    ledger.replay(["u"])
    assert hows(explain(connection, FIRST, as_of_model=1)) == {"unmeasured"}
    assert wishes(connection) == 0
    assert hows(explain(connection, FIRST)) == {"waiting"}, "of the live version it can be"
    drop_tables(connection, 1)
    assert measured(connection) == {}


def test_a_standby_answers_what_it_can(connection: Connection) -> None:
    ledger = open_shop(connection)
    record(connection)
    ledger.catch_up()
    with connection.transaction():
        connection.execute("set transaction read only")
        assert hows(explain(connection, FIRST)) == {"unmeasured"}


def test_housekeeping_forgets_what_is_old(connection: Connection) -> None:
    ledger = open_shop(connection)
    record(connection)
    ledger.catch_up()
    explain(connection, FIRST)
    Explanations(ledger).take()
    connection.execute("insert into nearline_data.explanation_wanted values ('gone', now() - interval '2 days')")
    connection.execute(
        "update nearline_data.interest_without set measured_at = now() - interval '2 days' where event_id = 'u-0'"
    )
    connection.execute("select nearline_data._keep_house()")
    assert wishes(connection) == 0
    assert measured(connection).keys() == {f"u-{number}" for number in range(1, len(ACTS))}


@pytest.mark.parametrize("item", [None, "", "no such item", "hiking-page-4"])
def test_an_item_that_is_in_no_list_is_refused_with_a_hint(connection: Connection, item: str | None) -> None:
    open_shop(connection)
    connection.execute("update nearline_data.item set is_active = false where item_id = 'hiking-page-4'")
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=r"for_item is .*, expected an active item") as no:
        explain(connection, item)  # type: ignore[arg-type]
    assert no.value.diag.message_hint


def test_a_reader_may_ask_and_see_nothing_else(settings: Settings, connection: Connection) -> None:
    ledger = open_shop(connection)
    record(connection)
    ledger.catch_up()
    with connect(settings, role="nearline_reader", autocommit=True) as reader:
        assert hows(explain(reader, FIRST)) == {"waiting"}
        for table in ("explanation_wanted", "interest_without"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(f"select from nearline_data.{table}".encode())
    assert wishes(connection) == 1
