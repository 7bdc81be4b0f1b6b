"""An interest vector is a pure function of the ledger, whatever came in which order and however often it ran."""

from __future__ import annotations

import random
import threading
import time

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st

import refresh_interests
from nearline.adapters import promotion
from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.new_items import NewItems
from nearline.adapters.postgres import Connection, connect, dsn
from nearline.adapters.shard import ShardsChanged
from nearline.core.position import Position
from nearline.settings import Settings
from small_shop import ITEMS, MeanOfHistory, open_shop, vector_of


def vectors(connection: Connection, version: int = 1) -> dict[str, np.ndarray]:
    rows = connection.execute(
        "select user_id, vector from nearline_data.user_interest where model_version = %s", (version,)
    ).fetchall()
    return dict(rows)


def record_many(connection: Connection, count: int, seed: int = 0) -> None:
    chance = random.Random(seed)
    for number in range(count):
        connection.execute(
            "select nearline.record_event(%s, %s, %s, happened_at => now() - %s * interval '1 minute', with_id => %s)",
            (f"u{chance.randrange(5)}", chance.choice(["view", "click"]), chance.choice(ITEMS),
             chance.randrange(10_000), f"e{seed}-{number}"),
        )  # fmt: skip


def test_steps_in_any_size_equal_a_rebuild(connection: Connection) -> None:
    ledger = open_shop(connection)
    for seed in range(4):
        record_many(connection, 25, seed)
        ledger.step(max_events=7)  # leaves some unread
    ledger.catch_up()
    stepped = vectors(connection)
    ledger.rebuild()
    rebuilt = vectors(connection)
    assert stepped.keys() == rebuilt.keys() == {f"u{n}" for n in range(5)}
    assert all(np.array_equal(stepped[user], rebuilt[user]) for user in stepped)


def test_a_second_run_finds_nothing_and_changes_nothing(connection: Connection) -> None:
    ledger = open_shop(connection)
    record_many(connection, 10)
    assert ledger.catch_up() == 10
    before = vectors(connection)
    newest = "select pg_snapshot_xmax(pg_current_snapshot())::text"
    transactions = connection.execute(newest).fetchone()
    assert ledger.step().events == 0
    assert connection.execute(newest).fetchone() == transactions, "an idle look costs no transaction id"
    assert all(np.array_equal(before[user], vector) for user, vector in vectors(connection).items())


def test_an_open_transaction_delays_nobody_else_and_is_not_skipped(settings: Settings, connection: Connection) -> None:
    ledger = open_shop(connection)
    with connect(settings) as slow:
        slow.execute("select nearline.record_event('slow', 'view', 'hiking-page-1')")  # began first, not committed
        connection.execute("select nearline.record_event('fast', 'view', 'baking-page-1')")  # began later, committed
        assert ledger.step()[:2] == (1, 1)
        assert vectors(connection).keys() == {"fast"}
        assert ledger.step().events == 0
        slow.commit()
    assert ledger.step()[:2] == (1, 1)
    assert vectors(connection).keys() == {"slow", "fast"}
    assert ledger.step().events == 0


def test_concurrent_writers_lose_nothing(settings: Settings, connection: Connection) -> None:
    ledger = open_shop(connection)

    def write(number: int) -> None:
        with connect(settings, autocommit=True) as writer:
            record_many(writer, 40, seed=100 + number)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    read = 0
    while any(writer.is_alive() for writer in writers):
        read += ledger.step()[0]
        time.sleep(0.01)
    for writer in writers:
        writer.join()
    read += ledger.catch_up()
    assert read == 120 == connection.execute("select count(*) from nearline_data.event").fetchone()[0]  # type: ignore[index]
    counted = connection.execute(
        "select sum(event_count), sum((select sum(n) from unnest(lag_events) n)) from nearline_data.refresh_batch"
    )
    assert counted.fetchone() == (120, 120)
    stepped = vectors(connection)
    ledger.rebuild()
    assert all(np.array_equal(stepped[user], vector) for user, vector in vectors(connection).items())


def test_a_batch_that_dies_is_as_if_it_never_was(connection: Connection) -> None:
    open_shop(connection)
    record_many(connection, 10)

    class Dies(MeanOfHistory):
        def interests(self, histories):
            raise SystemExit("killed")

    with pytest.raises(SystemExit, match="killed"):
        InterestLedger(connection, Dies(), 1).step()
    assert vectors(connection) == {}
    assert InterestLedger(connection, MeanOfHistory(), 1).step()[0] == 10


def test_only_one_writer_at_a_time(settings: Settings, connection: Connection) -> None:
    ledger = open_shop(connection)
    assert ledger.shard.lock()
    with connect(settings, autocommit=True) as other:
        assert not InterestLedger(other, MeanOfHistory(), 1).shard.lock()
        assert InterestLedger(other, MeanOfHistory(), 2).shard.lock(), "another version is another writer's"


def test_a_vector_never_forgets_what_it_knew(settings: Settings, connection: Connection) -> None:
    ledger = open_shop(connection)
    record_many(connection, 5)
    with connect(settings) as slow:
        slow.execute("select nearline.record_event('u1', 'view', 'hiking-page-1', with_id => 'slow')")
        record_many(connection, 5, seed=1)
        ledger.catch_up()
        early = str(ledger.position())
        slow.commit()
    record_many(connection, 5, seed=2)
    ledger.catch_up()
    after = vectors(connection)
    # As a reader whose shard of the people changed hands might: everything is read again from a position before.
    connection.execute("update nearline_data.cursor set position = %s", (early,))
    while not ledger.step(max_events=2).is_last:
        assert all(np.array_equal(after[user], vector) for user, vector in vectors(connection).items())
    assert all(np.array_equal(after[user], vector) for user, vector in vectors(connection).items())


@rules(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(8)), cuts=st.lists(st.integers(1, 8), max_size=4))
def test_the_order_of_arrival_does_not_matter(connection: Connection, order: list[int], cuts: list[int]) -> None:
    if connection.execute("select count(*) from nearline_data.live_version").fetchone() == (0,):
        open_shop(connection)
    ledger = InterestLedger(connection, MeanOfHistory(), 1)
    user = f"user {order} {cuts}"
    for place, number in enumerate(order):
        connection.execute(
            """select nearline.record_event(
                   %s, 'view', %s, with_id => %s, happened_at => '2026-11-01Z'::timestamptz + %s * interval '1 s')""",
            (user, ITEMS[number * 2], f"{user}{number}", number),
        )
        if place in cuts:
            ledger.step()
    ledger.catch_up()
    straight = connection.execute(
        "select vector, event_count from nearline_data.user_interest where user_id = %s", (user,)
    ).fetchone()
    history = ledger.writer.reader.read({user: Position(2**60 + 5)}).histories[0]
    expected = ledger.writer.scaled(MeanOfHistory().interests([history]))[0]
    assert straight is not None
    assert np.array_equal(straight[0], expected)
    assert straight[1] == 8


def test_a_text_that_the_model_fails_on_is_set_aside_and_blocks_nobody(connection: Connection) -> None:
    open_shop(connection)

    class Fails(MeanOfHistory):
        def query_vectors(self, queries):
            if "poison" in "".join(queries):
                raise ValueError("a token out of range")
            return super().query_vectors(queries)

    for user, text in (("u1", "poison"), ("u1", "all about baking"), ("u2", "all about hiking")):
        connection.execute("select nearline.record_event(%s, 'search', with_text => %s)", (user, text))
    ledger = InterestLedger(connection, Fails(), 1)
    assert ledger.step()[:2] == (3, 2)
    assert vectors(connection).keys() == {"u1", "u2"}
    aside = connection.execute("select reason, content from nearline_data.rejected_row").fetchall()
    assert aside == [
        ("text: the model of version 1 failed on it: ValueError('a token out of range')", {"text": "poison"})
    ]
    record_many(connection, 5)
    assert ledger.step().events == 5
    assert connection.execute("select count(*) from nearline_data.rejected_row").fetchone() == (1,), "and met no more"


@pytest.mark.parametrize("place", ["get_ready", "query_vectors"])
def test_a_model_that_cannot_be_read_is_no_texts_fault(connection: Connection, place: str) -> None:
    """Every search of that version would have meant nothing, for good, though the disk was away for a minute."""
    ledger = open_shop(connection)

    def disk_is_away(*_: object) -> None:
        raise OSError("Stale file handle")

    away = MeanOfHistory()
    setattr(away, place, disk_is_away)
    connection.execute("select nearline.record_event('u1', 'search', with_text => 'all about baking')")
    with pytest.raises(OSError, match="Stale"):
        InterestLedger(connection, away, 1).step()
    for table in ("query_embedding", "rejected_row"):
        assert connection.execute(f"select count(*) from nearline_data.{table}".encode()).fetchone() == (0,)
    assert ledger.step()[:2] == (1, 1)


def test_a_replay_divides_people_as_they_are_divided(
    settings: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand, where NEARLINE_SHARDS is not what Airflow's is."""
    open_shop(connection)
    record_many(connection, 20)
    for shard in range(3):
        ledger = InterestLedger(connection, MeanOfHistory(), 1, shard, 3)
        ledger.shard.divide()
        ledger.catch_up()
    monkeypatch.setenv("NEARLINE_DSN", dsn(settings))
    monkeypatch.setattr(refresh_interests, "_load", lambda *_: MeanOfHistory())
    connection.execute("update nearline_data.user_interest set event_count = 0")
    assert refresh_interests.main(["--since", "2000-01-01"]) == 0
    assert connection.execute("select min(event_count) > 0 from nearline_data.user_interest").fetchone() == (True,)
    assert ledger.step().is_last, "who was at work goes on"


def test_a_person_that_the_model_fails_on_is_set_aside(connection: Connection) -> None:
    open_shop(connection)

    class Fails(MeanOfHistory):
        def interests(self, histories):
            if any(len(history) == 2 for history in histories):
                raise ValueError("two")
            return super().interests(histories)

    for user, item in (("one", ITEMS[0]), ("two", ITEMS[0]), ("two", ITEMS[1]), ("three", ITEMS[2])):
        connection.execute("select nearline.record_event(%s, 'view', %s)", (user, item))
    assert InterestLedger(connection, Fails(), 1).step()[:2] == (4, 2)
    assert vectors(connection).keys() == {"one", "three"}
    aside = connection.execute("select content from nearline_data.rejected_row").fetchall()
    assert aside == [({"user_id": "two"},)]


def test_shards_may_change_at_any_time(settings: Settings, connection: Connection) -> None:
    open_shop(connection)
    record_many(connection, 40)
    counts = [2, 3, 1]
    for seed, count in enumerate(counts, start=1):
        ledgers = [InterestLedger(connection, MeanOfHistory(), 1, shard, count) for shard in range(count)]
        old = InterestLedger(connection, MeanOfHistory(), 1, 0, [1, *counts][seed - 1])
        ledgers[0].shard.divide()
        if count != old.shard.count:
            with pytest.raises(ShardsChanged):
                old.step()
        record_many(connection, 20, seed)
        for ledger in ledgers[1:] + ledgers[:1]:  # one shard is behind the others when the next division comes
            ledger.step(max_events=3)
    InterestLedger(connection, MeanOfHistory(), 1).catch_up()
    stepped = vectors(connection)
    InterestLedger(connection, MeanOfHistory(), 1).rebuild()
    assert stepped.keys() == vectors(connection).keys()
    assert all(np.array_equal(stepped[user], vector) for user, vector in vectors(connection).items())


def test_an_item_that_comes_later_is_placed_and_who_waited_for_it_is_refreshed(connection: Connection) -> None:
    ledger = open_shop(connection)
    connection.execute("select nearline.record_event('u1', 'view', 'late')")
    connection.execute("select nearline.record_event('u2', 'view', 'hiking-page-1')")
    ledger.catch_up()
    assert vectors(connection).keys() == {"u2"}
    assert NewItems(ledger).take() == 0
    connection.execute(
        "insert into nearline_data.item (item_id, kind, title) values ('late', 'page', 'A baking page that came late')"
    )
    assert NewItems(ledger).take() == 1
    assert vectors(connection).keys() == {"u1", "u2"}
    assert connection.execute("select count(*) from nearline_data.waiting_event").fetchone() == (0,)
    found = connection.execute("select item_id from nearline.recommend('u1', 3)").fetchall()
    assert all(item.startswith("baking") for (item,) in found)
    assert NewItems(ledger).take() == 0


def test_an_item_that_is_offered_again_gets_the_vector_that_its_version_was_loaded_without(
    connection: Connection,
) -> None:
    connection.execute(
        "insert into nearline_data.item (item_id, kind, title, is_active, created_at, active_since)"
        " values ('sold out', 'page', 'A baking page', false, now() - interval '9 days', now() - interval '9 days')"
    )
    ledger = open_shop(connection)
    connection.execute("select nearline.record_event('u1', 'view', 'sold out')")
    ledger.catch_up()
    assert NewItems(ledger).take() == 0
    assert vectors(connection).keys() == set()
    connection.execute("update nearline_data.item set title = 'A page about baking' where item_id = 'sold out'")
    assert NewItems(ledger).take() == 0
    connection.execute("update nearline_data.item set is_active = true where item_id = 'sold out'")
    assert NewItems(ledger).take() == 1
    assert vectors(connection).keys() == {"u1"}


def test_the_longest_ids_stop_nobody(connection: Connection) -> None:
    """Two of them are one index key."""
    ledger = open_shop(connection)
    random = np.random.default_rng(7)
    user, item, event = ("".join(map(chr, random.integers(0x4E00, 0x9FFF, 333))) for _ in range(3))
    connection.execute("select nearline.record_event(%s, 'view', %s, with_id => %s)", (user, item, event))
    ledger.catch_up()
    assert connection.execute("select user_id, item_id from nearline_data.waiting_event").fetchall() == [(user, item)]
    connection.execute("select nearline.record_exposure(gen_random_uuid(), %s, %s)", (user, [item]))
    for kind, long in (("user", user + "茶茶"), ("item", item + "茶茶")):
        with pytest.raises(psycopg.errors.CheckViolation, match="event_ids_are_short"):
            connection.execute(
                "insert into nearline_data.event (event_id, user_id, item_id, kind, occurred_at)"
                " values ('e', %s, %s, 'view', now())",
                (long, ITEMS[0]) if kind == "user" else ("u", long),
            )


def test_who_only_met_a_later_item_is_known_to_a_version_that_goes_live(connection: Connection) -> None:
    old = open_shop(connection)
    new = open_shop(connection, 2, live=False)
    connection.execute("insert into nearline_data.item (item_id, kind, title) values ('late', 'page', 'A baking page')")
    connection.execute("select nearline.record_event('u1', 'view', 'late')")
    NewItems(old).take()
    old.catch_up()
    assert vectors(connection).keys() == {"u1"}
    promotion.go_live(new, "test", "it knows the item too")
    row = connection.execute(
        "select u.user_id from nearline_data.user_interest u join nearline_data.live_version l using (model_version)"
    ).fetchone()
    assert row == ("u1",)


def test_a_look_in_between_is_for_what_came_a_moment_ago(connection: Connection) -> None:
    ledger = open_shop(connection)
    for item in ("early", "late"):
        connection.execute("select nearline.record_event(%s, 'view', %s)", (f"met {item}", item))
    ledger.catch_up()
    items = NewItems(ledger)
    assert items.take() == 0
    connection.execute(
        """insert into nearline_data.item (item_id, kind, title, active_since)
           values ('early', 'page', 'A baking page of a long load', now() - interval '1 hour'),
                  ('late', 'page', 'A baking page', now())"""
    )
    assert items.take() == 1
    assert vectors(connection).keys() == {"met late"}
    assert NewItems(ledger).take() == 1, "the next minute's run finds the rest"
    assert vectors(connection).keys() == {"met early", "met late"}


def test_an_erased_person_leaves_nothing_even_in_the_middle_of_a_refresh(
    settings: Settings, connection: Connection
) -> None:
    ledger = open_shop(connection)
    record_many(connection, 30)
    with connect(settings, autocommit=True) as other:

        class ErasesMeanwhile(MeanOfHistory):
            def interests(self, histories):
                other.execute("select nearline.erase_user('u1')")
                return super().interests(histories)

        InterestLedger(connection, ErasesMeanwhile(), 1).step()
    assert "u1" in vectors(connection), "the refresh had read what the erasure took away"
    ledger.catch_up()
    assert vectors(connection).keys() == {"u0", "u2", "u3", "u4"}


def test_a_comment_is_its_item_and_its_words(connection: Connection) -> None:
    ledger = open_shop(connection)
    connection.execute("select nearline.record_event('u1', 'comment', 'hiking-page-1', with_text => 'good for baking')")
    ledger.catch_up()
    history = ledger.writer.reader.read({"u1": Position(2**60 + 5)}).histories[0]
    expected = (vector_of("hiking-page-1") + MeanOfHistory().query_vectors(["baking"])[0]) / 2
    np.testing.assert_allclose(history.vectors[0], expected)


def test_words_of_nothing_are_none(connection: Connection) -> None:
    ledger = open_shop(connection)
    connection.execute("select nearline.record_event('u1', 'comment', 'hiking-page-1', with_text => E' \t')")
    connection.execute("select nearline.record_event('u1', 'search', with_text => '  ')")
    ledger.catch_up()
    history = ledger.writer.reader.read({"u1": Position(2**60 + 5)}).histories[0]
    np.testing.assert_allclose(history.vectors, vector_of("hiking-page-1")[None])
    assert connection.execute(r"select count(*) from nearline_data.query_embedding where query !~ '\S'").fetchone() == (
        0,
    )


def test_a_flip_leaves_no_vector_behind_the_version_before(settings: Settings, connection: Connection) -> None:
    """Whatever the old version's vectors know at the flip, the new version's know too."""
    old = open_shop(connection)
    record_many(connection, 20)
    new = open_shop(connection, 2, live=False)
    late: list[Position] = []
    with connect(settings, autocommit=True) as other:

        def old_version_goes_on() -> None:
            record_many(other, 10, seed=1)
            try:
                with connect(settings, autocommit=True) as drainer:
                    drainer.execute("set statement_timeout = '200ms'")
                    InterestLedger(drainer, MeanOfHistory(), 1).step()
            except psycopg.errors.QueryCanceled:
                late.append(old.position(lock=False))
            connection.execute("select nearline_data._promote(2, 'test', 'test')")

        new.catch_up_and(old_version_goes_on)
    assert late, "the old version must wait while the new one goes live"
    assert new.position(lock=False).join(late[0]) == new.position(lock=False)
    assert connection.execute("select model_version from nearline.live_model").fetchone() == (2,)


def test_a_ledger_that_came_from_another_server_is_adopted(settings: Settings, connection: Connection) -> None:
    ledger = open_shop(connection)
    record_many(connection, 20)
    ledger.catch_up()
    before = vectors(connection)
    far = 10**9  # the transactions of the server that the dump was taken from
    connection.execute(
        "update nearline_data.event set transaction_id = (transaction_id::text::bigint + %s)::text::xid8", (far,)
    )
    with connect(settings, role=None) as owner:  # one that was recorded before values had a limit
        owner.execute("alter table nearline_data.event drop constraint event_value_is_an_amount")
        owner.execute(
            "update nearline_data.event set value = 'nan'"
            " where event_id = (select min(e.event_id) from nearline_data.event e)"
        )
        owner.execute(
            "alter table nearline_data.event"
            " add constraint event_value_is_an_amount check (abs(value) <= 1e15) not valid"
        )
        owner.execute("alter table nearline_data.event drop constraint event_item_id_says_something")  # likewise
        owner.execute(
            "update nearline_data.event set item_id = ''"
            " where event_id = (select max(e.event_id) from nearline_data.event e)"
        )
        owner.execute(
            "alter table nearline_data.event"
            " add constraint event_item_id_says_something check (item_id <> '') not valid"
        )
    for table in ("cursor", "user_interest"):
        connection.execute(f"update nearline_data.{table} set position = '{far}:{far}:'".encode())
    record_many(connection, 1, seed=1)
    ledger.rebuild()
    record_many(connection, 5, seed=2)
    assert ledger.catch_up() == 5
    after = vectors(connection)
    ledger.replay()
    assert all(np.array_equal(after[user], vector) for user, vector in vectors(connection).items())
    assert before.keys() <= after.keys()
    assert connection.execute("select backlog_events from nearline.freshness").fetchone() == (0,)
    ((folded,),) = connection.execute("select distinct events_folded from nearline.recommend('u1')").fetchall()
    assert folded == 0
