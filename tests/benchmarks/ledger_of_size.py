"""A ledger of any size, made by Postgres itself: items with random vectors, people with random histories."""

from __future__ import annotations

import numpy as np

from nearline.adapters.postgres import Connection, copy_rows
from nearline.core.interest import DIM

THEMES = 100
SPECTRUM = 0.75
"""Variance along the k-th main axis falls as k to the minus this, as in catalogues learnt from ifdb and MovieLens.
In a space without main axes every item is about as far as every other, and no index finds the nearest."""
DAYS = 700
"""Events lie so far apart at most: some two years of monthly partitions."""


def add_items(connection: Connection, count: int, successors: int = 0, version: int = 1, seed: int = 7) -> np.ndarray:
    """Make items i0, i1, ... of a version, indexed, each with so many successors of its theme.

    Returns the theme of each, int64 (count,), 0 to `THEMES` - 1; vectors of a theme lie together.
    """
    rng = np.random.default_rng(seed)
    spread = np.arange(1, DIM + 1) ** (-SPECTRUM / 2)
    centres = rng.normal(size=(THEMES, DIM))
    theme = rng.integers(THEMES, size=count)
    vectors = (spread * (centres[theme] + rng.normal(size=(count, DIM)))).astype(np.float32)
    connection.execute(
        "insert into nearline_data.item (item_id, kind, title)"
        " select 'i' || n, 'item', 'Title ' || n from generate_series(0, %s) n",
        (count - 1,),
    )
    connection.execute(
        "insert into nearline_data.model_version (model_version, mlflow_run_id, transition_weight)"
        " values (%s, 'bench', 1)",
        (version,),
    )
    connection.execute("select nearline_data._create_version_partitions(%s)", (version,))
    copy_rows(
        connection, "item_embedding", ["model_version", "item_id", "kind", "vector"],
        ["int4", "text", "text", "vector"], ((version, f"i{n}", "item", vector) for n, vector in enumerate(vectors)),
    )  # fmt: skip
    members = [np.flatnonzero(theme == one) for one in range(THEMES)]
    copy_rows(
        connection, "item_transition", ["model_version", "item_id", "next_item_id", "weight"],
        ["int4", "text", "text", "float4"],
        (
            (version, f"i{n}", f"i{other}", float(rng.uniform(0.01, 1)))
            for n in range(count if successors else 0)
            for other in rng.choice(members[theme[n]], successors, replace=False)
        ),
    )  # fmt: skip
    connection.execute("select nearline_data._index_version(%s)", (version,))
    return theme


def add_people(connection: Connection, first: int, count: int, events: int, items: int) -> None:
    """Make people u<first>, ... with ``events`` clicks each on items at random, spread over `DAYS`."""
    connection.execute(
        "select nearline_data._ensure_event_partitions(now() - make_interval(days => %s), now())", (DAYS + 1,)
    )
    connection.execute(
        """insert into nearline_data.event (event_id, user_id, item_id, kind, occurred_at)
           select 'e' || u || '-' || n, 'u' || u, 'i' || floor(random() * %(items)s)::integer, 'click',
                  now() - random() * make_interval(days => %(days)s)
           from generate_series(%(first)s, %(first)s + %(count)s - 1) u, generate_series(1, %(events)s) n""",
        {"items": items, "days": DAYS, "first": first, "count": count, "events": events},
    )
    connection.execute("select nearline_data._analyze_ledger()")
