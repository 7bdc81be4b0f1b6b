"""nearline.recommend against the bare nearest-neighbour query on the same index: what the contract costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from figure import Figure, percentile
from ledger_of_size import THEMES, add_items

from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import connect
from nearline.settings import Settings
from small_shop import MeanOfHistory

ITEMS, PEOPLE, EVENTS_A_PERSON, SUCCESSORS, CALLS, SEED = 20_000, 1_000, 50, 50, 400, 7


def measure(settings: Settings) -> Iterator[Figure]:
    """Time calls for people with history, seen items left out, reasons on."""
    rng = np.random.default_rng(SEED)
    with connect(settings, autocommit=True) as connection:
        theme = add_items(connection, ITEMS, SUCCESSORS)
        members = [np.flatnonzero(theme == one) for one in range(THEMES)]
        for person in range(PEOPLE):
            chosen = rng.choice(members[person % THEMES], EVENTS_A_PERSON, replace=False)
            connection.execute(
                "insert into nearline_data.event (event_id, user_id, item_id, kind, occurred_at)"
                " select %(user)s || '-' || n, %(user)s, item_id, 'view', now() - n * interval '1 hour'"
                " from unnest(%(items)s::text[]) with ordinality as t (item_id, n)",
                {"user": f"u{person}", "items": [f"i{n}" for n in chosen]},
            )
        connection.execute("select nearline_data._analyze_ledger()")
        InterestLedger(connection, MeanOfHistory(), 1).rebuild()
        connection.execute("select nearline_data._promote(1, 'bench', 'bench')")

        people = [f"u{n}" for n in rng.integers(PEOPLE, size=CALLS)]
        wanted = dict(connection.execute("select user_id, vector from nearline_data.user_interest").fetchall())

        def knn(user: str) -> None:
            connection.execute(
                "select item_id from nearline_data.item_embedding where model_version = 1"
                " order by vector <#> %s limit 10",
                (wanted[user],),
            ).fetchall()

        def recommend(user: str) -> None:
            rows = connection.execute("select * from nearline.recommend(for_user => %s)", (user,)).fetchall()
            if len(rows) != 10:
                raise RuntimeError(f"expected 10 rows for {user}, saw {len(rows)}")

        bare, ours = _times(knn, people), _times(recommend, people)
    context = {"items": ITEMS, "people": PEOPLE, "events_a_person": EVENTS_A_PERSON, "calls": CALLS, "seed": SEED}
    for share, target in ((0.5, 15.0), (0.99, 40.0)):
        yield Figure(
            name=f"recommend_p{share * 100:.0f}",
            value=1000 * percentile(ours, share),
            unit="ms",
            better="lower",
            target=target,
            reference=("bare pgvector KNN of 10, same index", 1000 * percentile(bare, share)),
            context=context,
        )


def _times(call: Callable[[str], None], people: list[str]) -> list[float]:
    for user in people[:20]:
        call(user)  # warm
    times = []
    for user in people:
        began = time.perf_counter()
        call(user)
        times.append(time.perf_counter() - began)
    return times
