"""What nearline.recommend serves is what `judge` judges: one formula, in SQL and in numpy."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import Connection, copy_rows
from nearline.core.behaviour import History
from nearline.core.blend import blend, scaled, standard_scores
from nearline.core.fold import Fold, unit_scale
from nearline.core.interest import DIM, catalogue_moments
from nearline.core.transitions import Transitions, top_successors, transition_scores
from small_shop import MeanOfHistory, open_shop

ITEMS, EVENTS, WEIGHT = 60, 30, 3.0
FOLD = Fold(0.8, 0.5, 2.5)


KIND_WEIGHTS = {"view": 1.0, "purchase": 5.0, "dislike": -3.0}
IDS = [f"i{n:02}" for n in range(ITEMS)]
Acts = list[tuple[int, str]]


def publish(connection: Connection, table: Transitions, vectors: np.ndarray) -> None:
    connection.execute(
        "insert into nearline_data.item (item_id, kind, title) select i, 'item', i from unnest(%s::text[]) i", (IDS,)
    )
    connection.execute(
        """insert into nearline_data.model_version
               (model_version, mlflow_run_id, transition_weight, fold_keep, fold_gain, fold_span)
           values (1, 'r', %s, %s, %s, %s)""",
        (WEIGHT, FOLD.keep, FOLD.gain, FOLD.span),
    )
    connection.execute("select nearline_data._create_version_partitions(1)")
    copy_rows(
        connection, "item_embedding", ["model_version", "item_id", "kind", "vector"],
        ["int4", "text", "text", "vector"],
        [(1, name, "item", vector) for name, vector in zip(IDS, vectors, strict=True)],
    )  # fmt: skip
    copy_rows(
        connection, "item_transition", ["model_version", "item_id", "next_item_id", "weight"],
        ["int4", "text", "text", "float4"],
        [(1, IDS[i], IDS[j], float(w)) for i, j, w in zip(table.item, table.next_item, table.weight, strict=True)],
    )  # fmt: skip
    connection.execute("select nearline_data._index_version(1)")


def record(connection: Connection, acts: Acts, first: int = 0) -> None:
    for number, (item, kind) in enumerate(acts, start=first):
        connection.execute(
            """select nearline.record_event(
                   'u', %s, %s, happened_at => '2026-01-01Z'::timestamptz + %s * interval '1 min')""",
            (kind, IDS[item], number),
        )


def served_scores(connection: Connection) -> dict[str, float]:
    return dict(connection.execute("select item_id, score from nearline.recommend('u', 1000)").fetchall())


def assert_same(served: dict[str, float], judged: np.ndarray, acts: Acts) -> None:
    met = {item for item, _ in acts}
    unseen = [n for n in np.argsort(-judged) if n not in met]
    assert list(served) == [IDS[n] for n in unseen]
    # The mean over the catalogue is the same for all items of a person; SQL leaves it out.
    shift = np.array([served[IDS[n]] - judged[n] for n in unseen])
    assert np.ptp(shift) < 1e-4


@pytest.fixture
def world() -> tuple[np.ndarray, Transitions, Acts]:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(ITEMS, DIM)).astype(np.float32)
    pairs = [(i, j) for i in range(ITEMS) for j in rng.choice(ITEMS, 5, replace=False) if i != j]
    table = top_successors(*np.array(pairs).T, rng.uniform(0.05, 1, len(pairs)))
    acts = [(int(rng.integers(ITEMS)), list(KIND_WEIGHTS)[rng.integers(3)]) for _ in range(EVENTS)]
    return vectors, table, acts


def transition_part(table: Transitions, acts: Acts) -> np.ndarray:
    items = np.array([item for item, _ in acts])
    weights = np.array([KIND_WEIGHTS[kind] for _, kind in acts])
    return transition_scores(table, [(items, weights)], ITEMS)


def history(vectors: np.ndarray, acts: Acts) -> History:
    return History(vectors[[item for item, _ in acts]], [kind for _, kind in acts])


def test_the_order_and_the_scores_are_the_same(
    connection: Connection, world: tuple[np.ndarray, Transitions, Acts]
) -> None:
    vectors, table, acts = world
    publish(connection, table, vectors)
    record(connection, acts)
    InterestLedger(connection, MeanOfHistory(), 1).rebuild()
    connection.execute("select nearline_data._promote(1, 'test', 'test')")
    z = standard_scores(MeanOfHistory().interests([history(vectors, acts)]), vectors)
    assert_same(served_scores(connection), blend(z, transition_part(table, acts), WEIGHT)[0], acts)
    found = connection.execute("select distinct events_folded, lag from nearline.recommend('u')").fetchall()
    assert found == [(0, timedelta(0))]


@pytest.mark.parametrize("unread", [1, 4, EVENTS])
def test_what_the_vector_has_not_seen_is_folded_in_as_the_fold_says(
    connection: Connection, world: tuple[np.ndarray, Transitions, Acts], unread: int
) -> None:
    vectors, table, acts = world
    publish(connection, table, vectors)
    read, rest = acts[: EVENTS - unread], acts[EVENTS - unread :]
    record(connection, read)
    InterestLedger(connection, MeanOfHistory(), 1).rebuild()
    connection.execute("select nearline_data._promote(1, 'test', 'test')")
    record(connection, rest, first=len(read))

    covariance = catalogue_moments(vectors)[1]
    weights = np.array([KIND_WEIGHTS[kind] for _, kind in rest])
    late = vectors[[item for item, _ in rest]]
    if read:
        stale = scaled(MeanOfHistory().interests([history(vectors, read)]), covariance)[0]
        fold = FOLD
    else:  # nobody yet: what they touch counts in full, beside what newcomers want
        stale, fold = np.zeros(DIM, np.float32), Fold(1.0, 1.0, FOLD.span)
    interest = fold(stale, late, weights, unit_scale(covariance))
    judged = interest @ vectors.T + WEIGHT * transition_part(table, acts)[0]
    assert_same(served_scores(connection), judged, acts)
    ((folded, lag),) = connection.execute("select distinct events_folded, lag from nearline.recommend('u')").fetchall()
    assert folded == unread
    assert timedelta(0) < lag < timedelta(minutes=1)


def test_the_fold_reads_no_more_than_the_newest_thirty(
    connection: Connection, world: tuple[np.ndarray, Transitions, Acts]
) -> None:
    vectors, table, acts = world
    publish(connection, table, vectors)
    InterestLedger(connection, MeanOfHistory(), 1).rebuild()
    connection.execute("select nearline_data._promote(1, 'test', 'test')")
    record(connection, acts + acts)
    assert connection.execute("select distinct events_folded from nearline.recommend('u')").fetchall() == [(30,)]


def test_a_dislike_pushes_away_at_once(connection: Connection) -> None:
    open_shop(connection)
    for kind, item in (("view", "hiking-page-1"), ("view", "baking-page-1"), ("dislike", "baking-page-2")):
        connection.execute("select nearline.record_event('u', %s, %s)", (kind, item))
    order = [item for (item,) in connection.execute("select item_id from nearline.recommend('u', 30)").fetchall()]
    assert order[0].startswith("hiking")
    assert order[-1].startswith("baking")
