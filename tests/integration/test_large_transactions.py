"""One transaction of more events than a batch: read some people at a time, gone on with after a kill, counted once; and
nobody else waits for it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from nearline.adapters import interest_ledger
from nearline.adapters.interest_ledger import InterestLedger, Step
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


def events_known(connection: Connection, user: str) -> int | None:
    asked = "select event_count from nearline_data.user_interest where user_id = %s"
    found = connection.execute(asked, (user,)).fetchone()
    return found[0] if found else None


def same_as_anew(connection: Connection, ledger: InterestLedger) -> bool:
    stepped = vectors(connection)
    ledger.rebuild()
    anew = vectors(connection)
    return stepped.keys() == anew.keys() and all(np.array_equal(stepped[user], anew[user]) for user in anew)


def steps(ledger: InterestLedger, most: int = 20) -> Iterator[tuple[Step, Step]]:
    """What a run does: others' events, then some people of a large transaction, until all is read."""
    for _ in range(most):
        small, large = ledger.step(100), ledger.step_large()
        yield small, large
        if small.is_last and large.is_last:
            return
    raise AssertionError(f"not done after {most} steps")


def test_a_large_transaction_is_one_batch_of_many_transactions(connection: Connection) -> None:
    ledger = open_shop(connection)
    connection.execute("select nearline.record_event('before', 'view', %s)", (ITEMS[0],))
    load(connection)
    connection.execute("select nearline.record_event('after', 'view', %s)", (ITEMS[0],))
    assert [((small.events, small.people), (large.events, large.people)) for small, large in steps(ledger)] == [
        ((1, 1), (0, 0)),
        ((0, 0), (0, 20)),  # the load is put off
        ((1, 1), (0, 20)),  # and who came after it does not wait
        ((0, 0), (0, 20)),
        ((0, 0), (0, 10)),
        ((0, 0), (700, 0)),
    ]
    assert counted(connection) == (702, 72, 3)
    assert same_as_anew(connection, ledger)


def test_what_people_do_during_a_load_is_fresh_with_all_of_it(connection: Connection) -> None:
    ledger = open_shop(connection)
    load(connection)
    rest = steps(ledger)
    next(rest)
    last = max(f"u{n}" for n in range(70))
    assert last not in vectors(connection)
    connection.execute("select nearline.record_event(%s, 'view', %s)", (last, ITEMS[0]))
    next(rest)
    assert events_known(connection, last) == 11, "ten of the load and the one since"
    for _ in rest:
        pass
    assert counted(connection)[0] == 701  # type: ignore[index]
    assert same_as_anew(connection, ledger)


def test_a_load_that_was_open_for_long_holds_nobody_up(settings: Settings, connection: Connection) -> None:
    ledger = open_shop(connection)
    with connect(settings) as slow:
        load(slow)
        connection.execute("select nearline.record_event('meanwhile', 'view', %s)", (ITEMS[0],))
        assert ledger.step(100).events == 1
        slow.commit()
    connection.execute("select nearline.record_event('after', 'view', %s)", (ITEMS[0],))
    done = [(small.events, large.events) for small, large in steps(ledger)]
    assert done[:2] == [(0, 0), (1, 0)], "what came after is read before the rest of the load"
    assert sum(small + large for small, large in done) == 701
    assert same_as_anew(connection, ledger)


def test_two_loads_at_once(settings: Settings, connection: Connection) -> None:
    ledger = open_shop(connection)
    with connect(settings) as first, connect(settings) as second:
        load(first)
        second.execute(LOAD.replace("'load-'", "'other-'").replace("'u'", "'w'"), (ITEMS, len(ITEMS)))
        connection.execute("select nearline.record_event('meanwhile', 'view', %s)", (ITEMS[0],))
        assert ledger.step(100).events == 1
        second.commit()
        first.commit()
    assert sum(small.events + large.events for small, large in steps(ledger)) == 1400
    assert counted(connection) == (1401, 141, 3)
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
        for _ in steps(InterestLedger(connection, DiesLater(), 1)):
            pass
    assert len(vectors(connection)) == 40, "two times twenty people were committed"
    assert counted(connection) == (None, None, 0)
    ledger = InterestLedger(connection, MeanOfHistory(), 1)
    assert [(large.events, large.people) for _, large in steps(ledger)] == [(0, 20), (0, 10), (700, 0)]
    assert same_as_anew(connection, ledger)


def test_somebody_whose_vector_is_lost_during_a_load_gets_all_of_it_back(connection: Connection) -> None:
    """The list of the load's people is past them."""
    ledger = open_shop(connection)
    load(connection)
    rest = steps(ledger)
    next(rest)
    assert "u0" in vectors(connection)
    assert connection.execute("select nearline.forget_event('u0', 'load-70')").fetchone() == (True,)
    for _ in rest:
        pass
    assert events_known(connection, "u0") == 9
    assert same_as_anew(connection, ledger)


def test_somebody_who_left_during_a_load_is_gone(connection: Connection) -> None:
    ledger = open_shop(connection)
    load(connection)
    connection.execute("select nearline.erase_user('u7')")
    assert ledger.catch_up() == 690
    assert "u7" not in vectors(connection)
    assert len(vectors(connection)) == 69
    assert same_as_anew(connection, ledger)
