"""Whether the next query after an event knows it, and what folding it in costs."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from figure import Figure, percentile
from ledger_of_size import add_items, add_people
from untrained import untrained_model

from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import Connection, connect
from nearline.settings import Settings

ITEMS, PEOPLE, TRIALS, SEED = 20_000, 2_000, 1_000, 7
UNREAD = 5


def measure(settings: Settings) -> Iterator[Figure]:
    """Record events while no job runs, and look at the lists before and after each."""
    with connect(settings, autocommit=True) as connection:
        add_items(connection, ITEMS)
        add_people(connection, 0, PEOPLE, 50, ITEMS)
        ledger = InterestLedger(connection, untrained_model(settings), 1)
        ledger.rebuild()
        connection.execute("select nearline_data._promote(1, 'bench', 'bench')")
        rng = np.random.default_rng(SEED)
        changed = sum(_changes(connection, f"u{rng.integers(PEOPLE)}", int(rng.integers(ITEMS))) for _ in range(TRIALS))
        ledger.catch_up()

        people = [f"u{n}" for n in rng.permutation(PEOPLE)[:400]]
        for _ in range(UNREAD):
            for user in people[::2]:
                _record(connection, user, int(rng.integers(ITEMS)))
        times: dict[bool, list[float]] = {True: [], False: []}
        for user in people * 3:  # the two sorts by turns, so that a busy machine is so for both
            began = time.perf_counter()
            rows = connection.execute(
                "select events_folded from nearline.recommend(for_user => %s)", (user,)
            ).fetchall()
            times[rows[0][0] > 0].append(1000 * (time.perf_counter() - began))
    yield Figure(
        name="next_query_knows_the_event", value=changed / TRIALS, unit="share", better="higher", target=1.0,
        context={"trials": TRIALS, "items": ITEMS, "people": PEOPLE, "model": "untrained", "seed": SEED},
    )  # fmt: skip
    folded, read = percentile(times[True], 0.5), percentile(times[False], 0.5)
    yield Figure(
        name="fold_median_extra", value=folded - read, unit="ms", better="lower", target=1.0,
        reference=("recommend for people whose events are all read, median", read),
        context={"unread_events": UNREAD, "calls": len(people) * 3, "items": ITEMS},
    )  # fmt: skip


def _record(connection: Connection, user: str, item: int) -> None:
    connection.execute("select nearline.record_event(%s, 'click', %s)", (user, f"i{item}"))


def _changes(connection: Connection, user: str, item: int) -> bool:
    query = "select item_id, score from nearline.recommend(for_user => %s)"
    before = connection.execute(query, (user,)).fetchall()
    _record(connection, user, item)
    return connection.execute(query, (user,)).fetchall() != before
