"""How many vectors a second the refresh writes, beside the model alone, and whether a larger ledger slows it down.

SCALES=full also measures a ledger of 20 million events and a million people; that takes half an hour and 15 GB of disk.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from figure import Figure
from ledger_of_size import add_items, add_people
from untrained import untrained_model

from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import Connection, connect, queries
from nearline.core.behaviour import History
from nearline.core.interest import DIM
from nearline.models.newest_interest import BATCH
from nearline.settings import Settings

ITEMS, EVENTS_A_PERSON, CHANGED = 20_000, 50, 4_000
SCALES = {"small": (10_000, 100_000), "full": (10_000, 100_000, 1_000_000)}
"""People; with 50 events each for the first two, and 15 more each for a million: 20 million events in all."""
TRIES = 5


def measure(settings: Settings) -> Iterator[Figure]:
    """Refresh thousands of people whose histories are full, in ledgers that grow."""
    model = untrained_model(settings)
    scales = SCALES[os.environ.get("SCALES", "small")]
    with connect(settings, autocommit=True) as connection:
        add_items(connection, ITEMS)
        ledger = InterestLedger(connection, model, 1)
        people, found = 0, {}
        for count in scales:
            add_people(connection, people, count - people, EVENTS_A_PERSON if count <= 100_000 else 16, ITEMS)
            if not people:
                ledger.rebuild()
            people = count
            ledger.catch_up()  # shorter histories than those that are timed
            found[count] = [
                (_users_a_second(connection, ledger, min(count, 100_000), attempt), _bare(model))
                for attempt in range(TRIES)
            ]
            if count == 100_000:
                began = time.monotonic()
                rebuilt = ledger.replay()
                everybody = rebuilt / (time.monotonic() - began)
        plan = _sequential_scans(connection, ledger)
    rate, bare = (max(one) for one in zip(*found[100_000], strict=True))
    beside = {count: float(np.median([ours / alone for ours, alone in tries])) for count, tries in found.items()}
    context = {"items": ITEMS, "events_a_person": EVENTS_A_PERSON, "changed_people": CHANGED, "people": 100_000}
    yield Figure(
        name="refresh_users_a_second", value=rate, unit="1/s", better="higher", target=2000.0,
        reference=("the model alone on the same batches", bare),
        context={**context, "wanted_ratio": 0.6, "best_of": TRIES, "median_ratio": beside[100_000]},
    )  # fmt: skip
    yield Figure(
        name="replay_users_a_second", value=everybody, unit="1/s", better="higher", target=2000.0,
        reference=("the model alone on the same batches", bare), context={**context, "people": rebuilt},
    )  # fmt: skip
    for small, large in pairwise(scales):
        yield Figure(
            name=f"refresh_seconds_a_user_from_{small}_to_{large}_people",
            value=beside[small] / beside[large],
            unit="times, beside the model alone at the same time",
            better="lower",
            target=1.2,
            context={
                "items": ITEMS,
                "people": large,
                "users_a_second": {str(k): round(max(tries)[0]) for k, tries in found.items()},
                "of_the_model_alone": {str(k): round(v, 3) for k, v in beside.items()},
            },
        )
    yield Figure(
        name="sequential_scans_of_the_ledger", value=float(plan), unit="plan nodes", better="lower", target=0.0,
        context={"queries": "changed, histories, stored_positions"},
    )  # fmt: skip


def _users_a_second(connection: Connection, ledger: InterestLedger, people: int, seed: int) -> float:
    """One more event of each of some people, then the step that takes them in; not the time of recording."""
    chosen = np.random.default_rng(seed).choice(people, min(CHANGED, people), replace=False)
    connection.execute(
        """insert into nearline_data.event (event_id, user_id, item_id, kind, occurred_at)
           select gen_random_uuid()::text, 'u' || u, 'i' || u %% %s, 'click', now() from unnest(%s::integer[]) u""",
        (ITEMS, chosen.tolist()),
    )
    began = time.monotonic()
    done = 0
    while not (step := ledger.step(20_000)).is_last:
        done += step.people
    return (done + step.people) / (time.monotonic() - began)


def _bare(model) -> float:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(7)
    history = History(rng.normal(size=(EVENTS_A_PERSON, DIM)).astype(np.float32), ["click"] * EVENTS_A_PERSON)
    histories = [history] * (CHANGED // BATCH * BATCH)
    began = time.monotonic()
    model.interests(histories)
    return len(histories) / (time.monotonic() - began)


def _sequential_scans(connection: Connection, ledger: InterestLedger) -> int:
    """Nodes of the refresh's plans that read a partition of the ledger from end to end."""
    named = queries("refresh")
    position, users = str(ledger.position(lock=False)), ["u1", "u2", "u3"]
    # Next months' partitions are there already, and the plan of an empty table is as it may.
    names = "select relname from pg_class where relkind = 'r' and relname like 'event\\_2%%' and reltuples <= 0"
    empty = {name for (name,) in connection.execute(names).fetchall()}
    count = 0
    with connection.transaction():
        connection.execute(named["plan_histories"])
        for name, values in (
            (
                "changed",
                {"position": position, "now": position, "max_events": 5000, "shard": 0, "shard_count": 1},
            ),
            (
                "histories",
                {
                    "users": users, "positions": [position] * 3, "kinds": ["click"], "history_length": 50,
                    "model_version": 1,
                },
            ),
            ("stored_positions", {"users": users, "model_version": 1}),
        ):  # fmt: skip
            plan = connection.execute(b"explain " + named[name].as_bytes(connection), values).fetchall()
            read = {line.split("Seq Scan on ")[1].split()[0] for (line,) in plan if "Seq Scan on event" in line}
            count += sum(name not in empty for name in read)
    return count
