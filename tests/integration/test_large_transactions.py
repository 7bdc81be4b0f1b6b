"""One transaction of more events than a batch: read some people at a time, gone on with after a kill, counted once."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from nearline.adapters import interest_ledger
from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import Connection, connect
from nearline.settings import Settings
from small_shop import ITEMS, MeanOfHistory, open_shop

LOAD = """insert into nearline_data.event (event_id, user_id, item_id, kind, occurred_at)
          select 'load-' || n, 'u' || n %% 70, (%s::text[])[1 + n %% %s], 'view', now() - n * interval '1 minute'
          from generate_series(1, 700) n"""


@pytest.fixture(autouse=True)
def few_people_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interest_ledger, "PEOPLE_AT_A_TIME", 20)


def load(connection: Connection) -> None:
    connection.execute(LOAD, (ITEMS, len(ITEMS)))


def vectors(connection: Connection) -> dict[str, np.ndarray]:
    return dict(connection.execute("select user_id, vector from nearline_data.user_interest").fetchall())


def counted(connection: Connection) -> tuple[int, ...] | None:
    return connection.execute(
        "select sum(event_count)::integer, sum(user_count)::integer, count(*)::integer from nearline_data.refresh_batch"
    ).fetchone()


def same_as_anew(connection: Connection, ledger: InterestLedger) -> bool:
    stepped = vectors(connection)
    ledger.rebuild()
    anew = vectors(connection)
    return stepped.keys() == anew.keys() and all(np.array_equal(stepped[user], anew[user]) for user in anew)


def test_a_large_transaction_is_one_batch_of_many_transactions(connection: Connection) -> None:
    ledger = open_shop(connection)
    connection.execute("select nearline.record_event('before', 'view', %s)", (ITEMS[0],))
    load(connection)
    connection.execute("select nearline.record_event('after', 'view', %s)", (ITEMS[0],))
    steps = [ledger.step(100) for _ in range(3)]
    assert [(step.events, step.people, step.is_last) for step in steps] == [
        (1, 1, False),
        (700, 70, False),
        (1, 1, True),
    ]
    assert counted(connection) == (702, 72, 3)
    assert same_as_anew(connection, ledger)


def test_a_load_that_was_open_for_long_holds_nobody_up(settings: Settings, connection: Connection) -> None:
    ledger = open_shop(connection)
    with connect(settings) as slow:
        load(slow)
        connection.execute("select nearline.record_event('meanwhile', 'view', %s)", (ITEMS[0],))
        assert ledger.step(100).events == 1
        slow.commit()
    connection.execute("select nearline.record_event('after', 'view', %s)", (ITEMS[0],))
    assert [ledger.step(100).events for _ in range(3)] == [700, 1, 0]
    assert same_as_anew(connection, ledger)


def test_what_was_done_before_a_kill_is_not_done_again(connection: Connection) -> None:
    open_shop(connection)
    load(connection)
    seen: list[int] = []

    class DiesLater(MeanOfHistory):
        def interests(self, histories):
            seen.append(len(histories))
            if len(seen) > 2:
                raise SystemExit("killed")
            return super().interests(histories)

    with pytest.raises(SystemExit, match="killed"):
        InterestLedger(connection, DiesLater(), 1).step(100)
    assert len(vectors(connection)) == 40, "two times twenty people were committed"
    assert counted(connection) == (None, None, 0)
    ledger = InterestLedger(connection, MeanOfHistory(), 1)
    step = ledger.step(100)
    assert (step.events, step.people, step.is_last) == (700, 30, False)
    assert ledger.step(100).is_last
    assert same_as_anew(connection, ledger)


def test_a_stop_is_heard_between_people(connection: Connection) -> None:
    open_shop(connection)
    load(connection)
    stop = threading.Event()

    class Stops(MeanOfHistory):
        def interests(self, histories):
            stop.set()
            return super().interests(histories)

    ledger = InterestLedger(connection, Stops(), 1)
    before = ledger.position(lock=False)
    step = ledger.step(100, stop)
    assert (step.events, step.is_last, len(vectors(connection))) == (0, False, 20)
    assert ledger.position(lock=False) == before
    stop.clear()
    assert InterestLedger(connection, MeanOfHistory(), 1).catch_up() == 700


def test_somebody_who_left_during_a_load_is_gone(connection: Connection) -> None:
    ledger = open_shop(connection)
    load(connection)
    connection.execute("select nearline.erase_user('u7')")
    assert ledger.catch_up() == 690
    assert "u7" not in vectors(connection)
    assert len(vectors(connection)) == 69
    assert same_as_anew(connection, ledger)
