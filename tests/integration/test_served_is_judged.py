"""What nearline.recommend serves is what `judge` judges: one formula, in SQL and in numpy."""

from __future__ import annotations

import numpy as np

from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import Connection, copy_rows
from nearline.core.behaviour import History
from nearline.core.blend import blend, standard_scores
from nearline.core.interest import DIM
from nearline.core.transitions import top_successors, transition_scores
from small_shop import MeanOfHistory

ITEMS, EVENTS, WEIGHT = 60, 30, 3.0


def test_the_order_and_the_scores_are_the_same(connection: Connection) -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(ITEMS, DIM)).astype(np.float32)
    pairs = [(i, j) for i in range(ITEMS) for j in rng.choice(ITEMS, 5, replace=False) if i != j]
    table = top_successors(*np.array(pairs).T, rng.uniform(0.05, 1, len(pairs)))
    ids = [f"i{n:02}" for n in range(ITEMS)]
    kinds = {"view": 1.0, "purchase": 5.0, "dislike": -3.0}
    acts = [(int(rng.integers(ITEMS)), list(kinds)[rng.integers(3)]) for _ in range(EVENTS)]

    connection.execute(
        "insert into nearline_data.item (item_id, kind, title) select i, 'item', i from unnest(%s::text[]) i", (ids,)
    )
    connection.execute(
        "insert into nearline_data.model_version (model_version, mlflow_run_id, transition_weight) values (1, 'r', %s)",
        (WEIGHT,),
    )
    connection.execute("select nearline_data._create_version_partitions(1)")
    copy_rows(
        connection, "item_embedding", ["model_version", "item_id", "kind", "vector"],
        ["int4", "text", "text", "vector"],
        [(1, name, "item", vector) for name, vector in zip(ids, vectors, strict=True)],
    )  # fmt: skip
    copy_rows(
        connection, "item_transition", ["model_version", "item_id", "next_item_id", "weight"],
        ["int4", "text", "text", "float4"],
        [(1, ids[i], ids[j], float(w)) for i, j, w in zip(table.item, table.next_item, table.weight, strict=True)],
    )  # fmt: skip
    connection.execute("select nearline_data._index_version(1)")
    for number, (item, kind) in enumerate(acts):
        connection.execute(
            """select nearline.record_event(
                   'u', %s, %s, happened_at => '2026-01-01Z'::timestamptz + %s * interval '1 min')""",
            (kind, ids[item], number),
        )
    InterestLedger(connection, MeanOfHistory(), 1).rebuild()
    connection.execute("select nearline_data._promote(1, 'test', 'test')")
    served = dict(connection.execute("select item_id, score from nearline.recommend('u', 1000)").fetchall())

    history = History(vectors[[item for item, _ in acts]], [kind for _, kind in acts], np.arange(EVENTS) * 60.0)
    z = standard_scores(MeanOfHistory().interests([history]), vectors)
    items, weights = np.array([item for item, _ in acts]), np.array([kinds[kind] for _, kind in acts])
    judged = blend(z, transition_scores(table, [(items, weights)], ITEMS), WEIGHT)[0]
    unseen = [n for n in np.argsort(-judged) if n not in set(items.tolist())]

    assert list(served) == [ids[n] for n in unseen]
    # The mean over the catalogue is the same for all items of a person; SQL leaves it out.
    shift = np.array([served[ids[n]] - judged[n] for n in unseen])
    assert np.ptp(shift) < 1e-4
