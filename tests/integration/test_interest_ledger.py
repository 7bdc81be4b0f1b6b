"""An interest vector is a pure function of the ledger, whatever came in which order and however often it ran."""

from __future__ import annotations

import random
import threading
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import Connection, connect
from nearline.settings import Settings
from small_shop import ITEMS, MeanOfHistory, open_shop


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
    assert ledger.step() == (0, 0)
    assert all(np.array_equal(before[user], vector) for user, vector in vectors(connection).items())


def test_an_open_transaction_is_waited_for_not_skipped(settings: Settings, connection: Connection) -> None:
    ledger = open_shop(connection)
    with connect(settings) as slow:
        slow.execute("select nearline.record_event('slow', 'view', 'hiking-page-1')")  # a low position, not committed
        connection.execute("select nearline.record_event('fast', 'view', 'baking-page-1')")  # a higher one, committed
        assert ledger.step() == (0, 0), "nothing above an open transaction may be read"
        slow.commit()
    assert ledger.step() == (2, 2)
    assert vectors(connection).keys() == {"slow", "fast"}


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
    counted = connection.execute("select sum(event_count), sum(cardinality(lag_ms)) from nearline_data.refresh_batch")
    assert counted.fetchone() == (120, 120)
    stepped = vectors(connection)
    ledger.rebuild()
    assert all(np.array_equal(stepped[user], vector) for user, vector in vectors(connection).items())


def test_a_batch_that_dies_is_as_if_it_never_was(connection: Connection) -> None:
    open_shop(connection)
    record_many(connection, 10)

    class Dies(MeanOfHistory):
        def interests(self, histories):
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        InterestLedger(connection, Dies(), 1).step()
    assert vectors(connection) == {}
    assert InterestLedger(connection, MeanOfHistory(), 1).step()[0] == 10


def test_only_one_writer_at_a_time(settings: Settings, connection: Connection) -> None:
    ledger = open_shop(connection)
    assert ledger.lock()
    with connect(settings, autocommit=True) as other:
        assert not InterestLedger(other, MeanOfHistory(), 1).lock()
        assert InterestLedger(other, MeanOfHistory(), 2).lock(), "another version is another writer's"


def test_an_older_position_never_replaces_a_newer_vector(connection: Connection) -> None:
    ledger = open_shop(connection)
    record_many(connection, 5)
    ledger.catch_up()
    before = vectors(connection)
    connection.execute("update nearline_data.user_interest set position = '9000000000000000'")
    record_many(connection, 5, seed=1)
    ledger.catch_up()
    assert all(np.array_equal(before[user], vectors(connection)[user]) for user in before)


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
    expected = ledger._scaled(MeanOfHistory().interests([ledger._histories([user], "9000000000000000")[1][0]]))[0]
    assert straight is not None
    assert np.array_equal(straight[0], expected)
    assert straight[1] == 8
