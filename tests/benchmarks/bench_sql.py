"""What the SQL contract costs beside the bare nearest-neighbour query on the same index, and how it grows.

SCALES=full goes on to a million items and a hundred thousand people; that takes half an hour and 10 GB of disk.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from figure import Figure, percentile
from ledger_of_size import THEMES, add_items

from nearline.adapters import embedded_postgres
from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import Connection, connect
from nearline.settings import Settings
from small_shop import MeanOfHistory

SCALES = {"small": ((10_000, 1_000), (100_000, 5_000)), "full": ((10_000, 1_000), (1_000_000, 100_000))}
"""Items and people."""
EVENTS_A_PERSON, SUCCESSORS, TASTES, CALLS, EXACT, CLIENTS, SECONDS, SEED = 50, 20, 3, 400, 100, 16, 30, 7
PLAIN = "for_user => %s, with_reasons => false"


def measure(settings: Settings) -> Iterator[Figure]:
    """Time calls for people with history, seen items left out, in a small and in a large catalogue."""
    p50 = {}
    scales = SCALES[os.environ.get("SCALES", "small")]
    for version, (items, people) in enumerate(scales, start=1):
        with connect(settings, autocommit=True) as connection:
            _fill(connection, version, items, people)
            with connect(settings, role=None, autocommit=True) as owner:
                owner.execute("vacuum analyze nearline_data.item, nearline_data.user_interest")
            ours, bare = _times(connection, version, people, PLAIN)
            p50[items] = percentile(ours, 0.5)
            (huge_pages,) = connection.execute("show huge_pages_status").fetchone() or ("",)
            context = {
                "items": items, "people": people, "events_a_person": EVENTS_A_PERSON, "calls": CALLS,
                "huge_pages": huge_pages,
            }  # fmt: skip
            yield from _figures("recommend", ours, bare, (3.0, 10.0), context)
            for name, arguments, target in (
                ("with_reasons", "for_user => %s", 20.0),
                ("with_a_filter_of_1_percent", PLAIN + """, matching => '{"hundredth": 7}'""", 25.0),
                ("with_bounds_of_1_percent", PLAIN + """, matching => '{"price": {"below": 1}}'""", 25.0),
                ("with_reasons_and_diversity", "for_user => %s, diversity => 0.3", 30.0),
            ):
                ours, bare = _times(connection, version, people, arguments)
                yield from _figures(f"recommend_{name}", ours, bare, (None, target), context)
            yield Figure(
                name="recall_of_10", value=_recall(connection, version, people), unit="of the exact ten",
                better="higher", target=0.98, context=context,
            )  # fmt: skip
            yield _for_many(connection, people, context)
    yield Figure(
        name=f"recommend_p50_from_{scales[0][0]}_to_{scales[1][0]}_items", unit="times", better="lower", target=2.5,
        value=p50[scales[1][0]] / p50[scales[0][0]], context={"milliseconds": p50},
    )  # fmt: skip
    yield _requests(settings, people, context)


def _fill(connection: Connection, version: int, items: int, people: int) -> None:
    """A catalogue with attributes, and people with events on items of a few themes, published."""
    rng = np.random.default_rng(SEED)
    connection.execute("delete from nearline_data.event")
    connection.execute("delete from nearline_data.item")
    theme = add_items(connection, items, SUCCESSORS, version)
    connection.execute(
        "update nearline_data.item set attributes = jsonb_build_object("
        " 'hundredth', (hashtext(item_id) & 65535) % 100, 'price', (hashtext(item_id) & 65535) % 1000 / 10.0)"
    )
    by_theme, first = np.argsort(theme, kind="stable"), np.searchsorted(np.sort(theme), np.arange(THEMES + 1))
    connection.execute("select nearline_data._ensure_event_partitions(now() - interval '100 days', now())")
    for start in range(0, people, 10_000):
        count = min(10_000, people - start)
        tastes = rng.integers(THEMES, size=(count, TASTES))
        chosen = np.take_along_axis(tastes, rng.integers(TASTES, size=(count, EVENTS_A_PERSON)), axis=1)
        places = first[chosen] + np.floor(rng.random(chosen.shape) * (first[chosen + 1] - first[chosen])).astype(int)
        connection.execute(
            """insert into nearline_data.event (event_id, user_id, item_id, kind, occurred_at)
               select 'e' || place, 'u' || place / %(each)s, 'i' || item, 'view',
                      now() - place %% %(each)s * interval '1 day'
               from unnest(%(items)s::integer[]) with ordinality as t (item, ordinal)
               cross join lateral (select %(start)s::bigint * %(each)s + ordinal - 1 as place) p""",
            {"items": by_theme[places].ravel().tolist(), "each": EVENTS_A_PERSON, "start": start},
        )
    connection.execute("select nearline_data._analyze_ledger()")
    InterestLedger(connection, MeanOfHistory(), version).rebuild()
    connection.execute("select nearline_data._promote(%s, 'bench', 'bench')", (version,))


def _times(connection: Connection, version: int, people: int, arguments: str) -> tuple[list[float], list[float]]:
    """Seconds of calls, each beside the bare query for the same person's vector."""
    wanted = _vectors(connection, version, people, CALLS)

    def recommend(user: str) -> None:
        rows = connection.execute(f"select * from nearline.recommend({arguments})", (user,)).fetchall()
        if len(rows) != 10:
            raise RuntimeError(f"expected 10 rows for {user}, saw {len(rows)}")

    def bare(user: str) -> None:
        connection.execute(
            "select item_id from nearline_data.item_embedding where model_version = %s order by vector <#> %s limit 10",
            (version, wanted[user]),
        ).fetchall()

    return _timed(recommend, list(wanted)), _timed(bare, list(wanted))


def _timed(call: Callable[[str], None], people: list[str]) -> list[float]:
    for user in people:
        call(user)  # warm: what is asked for is in memory
    times = []
    for user in people:
        began = time.perf_counter()
        call(user)
        times.append(time.perf_counter() - began)
    return times


def _vectors(connection: Connection, version: int, people: int, count: int) -> dict[str, np.ndarray]:
    users = [f"u{n}" for n in np.random.default_rng(SEED + 1).choice(people, min(count, people), replace=False)]
    return dict(
        connection.execute(
            "select user_id, vector from nearline_data.user_interest where model_version = %s and user_id = any (%s)",
            (version, users),
        ).fetchall()
    )


def _figures(
    name: str, ours: list[float], bare: list[float], targets: tuple[float | None, float], context: dict[str, Any]
) -> Iterator[Figure]:
    for share, target in zip((0.5, 0.99), targets, strict=True):
        yield Figure(
            name=f"{name}_p{share * 100:.0f}",
            value=1000 * percentile(ours, share),
            unit="ms",
            better="lower",
            target=target,
            reference=("bare pgvector KNN of 10, same index", 1000 * percentile(bare, share)),
            context=context,
        )


def _recall(connection: Connection, version: int, people: int) -> float:
    """Share of the ten best items of an exact search, of all but what was seen, that the list's index search finds."""
    found = []
    exact = (
        "select item_id from nearline_data.item_embedding where model_version = %(version)s"
        " and item_id not in (select item_id from nearline_data.event where user_id = %(user)s)"
        " order by (vector <#> %(vector)s) + 0 limit 10"
    )
    near = (
        "select item_id from nearline_data._nearest(%(vector)s, %(version)s, null,"
        " array(select item_id from nearline_data.event where user_id = %(user)s), 30) limit 10"
    )
    for user, vector in _vectors(connection, version, people, EXACT).items():
        values = {"version": version, "user": user, "vector": vector}
        best, ours = ({row[0] for row in connection.execute(q, values).fetchall()} for q in (exact, near))
        found.append(len(best & ours) / len(best))
    return float(np.mean(found))


def _for_many(connection: Connection, people: int, context: dict[str, Any]) -> Figure:
    users = [f"u{n}" for n in range(min(people, 500))]
    many = "select * from nearline.recommend_for_many(for_users => %s)"
    connection.execute(many, (users,)).fetchall()  # warm
    began = time.perf_counter()
    connection.execute(many, (users,)).fetchall()
    together = len(users) / (time.perf_counter() - began)
    alone = 1 / float(np.mean(_timed(lambda user: _fetch(connection, PLAIN, user), users)))
    return Figure(
        name="recommend_for_many_people_a_second", value=together, unit="1/s", better="higher", target=5 * alone,
        reference=("single calls, one connection", alone), context=context,
    )  # fmt: skip


def _fetch(connection: Connection, arguments: str, user: str) -> None:
    connection.execute(f"select * from nearline.recommend({arguments})", (user,)).fetchall()


def _requests(settings: Settings, people: int, context: dict[str, Any]) -> Figure:
    """Requests a second from 16 connections, by pgbench on the same cores."""
    script = (
        f"\\set who random(0, {people - 1})\n"
        "select * from nearline.recommend(for_user => 'u' || :who, with_reasons => false);\n"
    )
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        said = subprocess.run(
            [
                str(Path(embedded_postgres.psql_path()).with_name("pgbench")), "--no-vacuum", "--protocol=prepared",
                f"--client={CLIENTS}", f"--time={SECONDS}", f"--file={file.name}", embedded_postgres.dsn(settings),
            ],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
    figures = dict(line.split(" = ") for line in said.splitlines() if " = " in line)
    return Figure(
        name="requests_a_second_from_16_connections", value=float(figures["tps"].split()[0]), unit="1/s",
        better="higher", target=500.0, context={**context, "mean_ms": float(figures["latency average"].split()[0])},
    )  # fmt: skip
