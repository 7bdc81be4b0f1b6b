"""What it takes to load and index a version, beside bare COPY and CREATE INDEX of the same rows; then to go back.

Vectors come ready: what the model takes to make them is measured by bench_encode. The peer gets bytes that Postgres
itself has written, so it shows what the server takes alone. SCALES=full is a million items: half an
hour, 10 GB of disk.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from figure import Figure
from ledger_of_size import SPECTRUM, THEMES

from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import Connection, connect, copy_rows, queries
from nearline.adapters.promotion import LEAST_RECALL, go_live
from nearline.adapters.version_tables import index_version, make_tables, take_version, write_items
from nearline.core.interest import DIM
from nearline.settings import Settings
from small_shop import MeanOfHistory

SCALES = {"small": 50_000, "full": 1_000_000}
"""Items."""
SUCCESSORS, PEOPLE, EVENTS_A_PERSON, MISSED = 20, 1_000, 20, 1_000
CHUNK = 1 << 18
ITEM_COLUMNS = "model_version int4 not null, item_id text not null, kind text not null, vector vector(128) not null"
PAIR_COLUMNS = "model_version int4 not null, item_id text not null, next_item_id text not null, weight float4 not null"


def measure(settings: Settings) -> Iterator[Figure]:
    """Publish a version, as embed_items and publish do, then go back to the one before, as follow_champion does."""
    items = SCALES[os.environ.get("SCALES", "small")]
    context = {"items": items, "transitions": items * SUCCESSORS}
    with connect(settings, autocommit=True) as connection:
        add_catalogue(connection, items)
        add_tastes(connection, PEOPLE, EVENTS_A_PERSON, items // 10)
        publish_version(connection, 1, np.arange(items // 10))
        connection.execute("select pg_advisory_unlock_all()")  # as when a job ends
        old = _interests(connection, 1)
        go_live(old, "bench", "the one to go back to")
        notices: list[str | None] = []
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
        ours = publish_version(connection, 2, np.arange(items))
        theirs = _bare(settings, connection, settings.home / "rows")
        yield Figure(
            name="load_items_a_second", value=items / ours["items"], unit="1/s", better="higher", target=100_000.0,
            reference=("bare COPY", items / theirs["items"]), context={**context, "writers": 1},
        )  # fmt: skip
        yield Figure(
            name="publish_seconds", value=sum(ours.values()), unit="s", better="lower",
            target=1.3 * sum(theirs.values()), reference=("bare COPY and CREATE INDEX", sum(theirs.values())),
            context={**context, "seconds": _rounded(ours), "bare_seconds": _rounded(theirs)},
        )  # fmt: skip
        yield Figure(
            name="notices_of_the_build", value=float(len(notices)), unit="notices", better="lower", target=0.0,
            context={**context, "notices": notices[:5]},
        )  # fmt: skip
        new = _interests(connection, 2)
        yield Figure(
            name="recall_of_the_index", value=measure_recall(connection, 2), unit="of the exact ten", better="higher",
            target=LEAST_RECALL, context=context,
        )  # fmt: skip
        yield _seconds("flip_seconds", new, 0, context)
        connection.execute("select pg_advisory_unlock_all()")
        _record_more(connection, items // 10)
        yield _seconds("rollback_seconds", old, MISSED, context)


def add_catalogue(connection: Connection, items: int) -> None:
    """Items i0, i1, ... that are older than any model, so that no refresh takes them for new ones."""
    connection.execute(
        "insert into nearline_data.item (item_id, kind, title, created_at, active_since)"
        " select 'i' || n, 'item', 'Title ' || n, t.at, t.at"
        " from generate_series(0, %s) n cross join (select now() - interval '10 days') t (at)",
        (items - 1,),
    )


def add_tastes(connection: Connection, people: int, events: int, items: int) -> None:
    """People u0, u1, ... with an event a day on items of three themes each; item n is of theme n modulo `THEMES`."""
    connection.execute("select nearline_data._ensure_event_partitions(now() - interval '60 days', now())")
    connection.execute(
        """insert into nearline_data.event (event_id, user_id, item_id, kind, occurred_at)
           select 'e' || u || '-' || n, 'u' || u, 'i' || nth * %(themes)s + (u * 7 + n %% 3 * 31) %% %(themes)s,
                  'view', now() - n * interval '1 day'
           from generate_series(0, %(people)s - 1) u
           cross join generate_series(1, %(events)s) n
           cross join lateral (select floor(random() * (%(items)s / %(themes)s) + 0 * (u + n))::integer) r (nth)""",
        {"items": items, "themes": THEMES, "people": people, "events": events},
    )
    connection.execute("select nearline_data._analyze_ledger()")


def publish_version(connection: Connection, version: int, numbers: np.ndarray) -> dict[str, float]:
    """Load and index a version of some items, int64 (n,), as embed_items does; seconds of each phase."""
    ids = [f"i{n}" for n in numbers]
    vectors, pairs = _rows(numbers, version)
    connection.execute(
        "insert into nearline_data.model_version (model_version, mlflow_run_id, transition_weight)"
        " values (%s, 'bench', 1)",
        (version,),
    )
    take_version(connection, version)
    took, began = {}, time.monotonic()
    make_tables(connection, version)
    took["tables"], began = time.monotonic() - began, time.monotonic()
    write_items(connection, version, ids, ["item"] * len(ids), vectors)
    took["items"], began = time.monotonic() - began, time.monotonic()
    copy_rows(
        connection, "item_transition", ["model_version", "item_id", "next_item_id", "weight"],
        ["int4", "text", "text", "float4"],
        ((version, ids[left], ids[right], 0.5) for left, row in enumerate(pairs) for right in row),
    )  # fmt: skip
    took["transitions"], began = time.monotonic() - began, time.monotonic()
    index_version(connection, version)
    took["indexes"] = time.monotonic() - began
    return took


def _rows(numbers: np.ndarray, seed: int) -> tuple[np.ndarray, list[list[int]]]:
    """Vectors as those of ledger_of_size, float32 (n, DIM), and places of successors of each, of its own theme."""
    rng = np.random.default_rng(seed)
    centres, spread = rng.normal(size=(THEMES, DIM)), np.arange(1, DIM + 1) ** (-SPECTRUM / 2)
    vectors = np.empty((len(numbers), DIM), np.float32)
    for start in range(0, len(numbers), 100_000):
        part = vectors[start : start + 100_000]
        part[:] = spread * (centres[numbers[start : start + 100_000] % THEMES] + rng.normal(size=part.shape))
    by_theme = np.argsort(numbers % THEMES, kind="stable")
    pairs = np.empty((len(numbers), SUCCESSORS), np.int64)
    pairs[by_theme] = by_theme[(np.arange(len(numbers))[:, None] + 1 + np.arange(SUCCESSORS)) % len(numbers)]
    return vectors, pairs.tolist()


def _bare(settings: Settings, connection: Connection, folder: Path) -> dict[str, float]:
    """The same rows into two plain tables, and the same three indexes with the same memory."""
    folder.mkdir()
    took = {}
    with connect(settings, role=None, autocommit=True) as owner:
        (memory,) = connection.execute(
            "select nearline_data._build_memory(item_count) from nearline_data.model_version where model_version = 2"
        ).fetchone() or (0,)
        owner.execute(f"set maintenance_work_mem = '{memory}MB'".encode())
        for name, table, columns in (
            ("items", "item_embedding", ITEM_COLUMNS), ("transitions", "item_transition", PAIR_COLUMNS),
        ):  # fmt: skip
            file = folder / table
            with open(file, "wb") as kept, owner.cursor().copy(
                f"copy nearline_data.{table}_v2 to stdout (format binary)".encode()
            ) as rows:  # fmt: skip
                kept.writelines(rows)
            owner.execute(f"create table public.bare_{table} ({columns})".encode())
            began = time.monotonic()
            with open(file, "rb") as kept, owner.cursor().copy(
                f"copy public.bare_{table} from stdin (format binary)".encode()
            ) as sink:  # fmt: skip
                while chunk := kept.read(CHUNK):
                    sink.write(chunk)
            took[name] = time.monotonic() - began
            file.unlink()
        began = time.monotonic()
        owner.execute("create unique index on public.bare_item_embedding (item_id)")
        owner.execute("create index on public.bare_item_embedding using hnsw (vector public.vector_ip_ops)")
        owner.execute("create unique index on public.bare_item_transition (item_id, next_item_id) include (weight)")
        took["indexes"] = time.monotonic() - began
        owner.execute("drop table public.bare_item_embedding, public.bare_item_transition")
    return took


def measure_recall(connection: Connection, version: int) -> float:
    """As `nearline.adapters.promotion.check_index` does after a load; random vectors need not pass it."""
    found = connection.execute(queries("publish")["measure_recall"], {"model_version": version}).fetchone()
    return float(found[0]) if found else 0.0


def _interests(connection: Connection, version: int) -> InterestLedger:
    ledger = InterestLedger(connection, MeanOfHistory(), version)
    ledger.rebuild()
    return ledger


def _record_more(connection: Connection, items: int) -> None:
    """What people did since the version that is to come back was served."""
    connection.execute(
        """insert into nearline_data.event (event_id, user_id, item_id, kind, occurred_at)
           select 'more' || n, 'u' || n, 'i' || n %% %s, 'click', now() from generate_series(1, %s) n""",
        (items, MISSED),
    )


def _seconds(name: str, ledger: InterestLedger, events: int, context: dict[str, int]) -> Figure:
    """Until SQL serves a version that is loaded."""
    connection, version = ledger.connection, ledger.model_version
    began = time.monotonic()
    take_version(connection, version)
    go_live(ledger, "bench", name)
    took = time.monotonic() - began
    served = connection.execute("select model_version from nearline.live_model").fetchone()
    if served != (version,):
        raise RuntimeError(f"expected version {version} to be served, saw {served}")
    return Figure(
        name=name, value=took, unit="s", better="lower", target=1.0, context={**context, "events_to_catch_up": events}
    )


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in seconds.items()}
