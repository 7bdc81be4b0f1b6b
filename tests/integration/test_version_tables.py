"""Loading a version: its rows in one COPY, its index with the memory that it needs."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from nearline.adapters.postgres import Connection, connect
from nearline.adapters.version_loader import read_trends, save_trends
from nearline.adapters.version_tables import index_version, make_tables, write_items
from nearline.core.interest import DIM, TRENDS
from nearline.core.trends import UNSEEN, trends_by_name
from nearline.settings import Settings

ITEMS = 1_500
BYTES_AN_ITEM = 1227
"""Of a graph in memory: 20 MB were full after 17,097 items."""


def load(connection: Connection) -> None:
    connection.execute(
        "insert into nearline_data.model_version (model_version, mlflow_run_id, transition_weight) values (1, 'run', 1)"
    )
    make_tables(connection, 1)
    vectors = np.random.default_rng(7).normal(size=(ITEMS, DIM)).astype(np.float32)
    assert write_items(connection, 1, [f"i{n}" for n in range(ITEMS)], ["page"] * ITEMS, vectors) == ITEMS


def memory_of(connection: Connection, items: int) -> int:
    (found,) = connection.execute("select nearline_data._build_memory(%s)", (items,)).fetchone() or (0,)
    return found << 20


def test_what_is_loaded_is_indexed_without_a_word(connection: Connection, caplog: pytest.LogCaptureFixture) -> None:
    load(connection)
    assert index_version(connection, 1) == ITEMS
    assert caplog.records == []
    row = connection.execute(
        "select model_version, kind, vector from nearline_data.item_embedding where item_id = 'i3'"
    ).fetchone()
    assert row is not None
    assert row[:2] == (1, "page")
    np.testing.assert_array_equal(row[2], np.random.default_rng(7).normal(size=(4, DIM)).astype(np.float32)[3])


def test_a_build_without_enough_memory_says_the_fix(
    settings: Settings, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    load(connection)
    with connect(settings, role=None, autocommit=True) as owner:
        owner.execute(
            "create or replace function nearline_data._build_memory(of_items bigint) returns integer"
            " language sql stable return 1"
        )
    with caplog.at_level(logging.WARNING, "nearline.embed"):
        index_version(connection, 1)
    (said,) = [record.getMessage() for record in caplog.records]
    assert "no longer fits into maintenance_work_mem" in said
    assert "Fix: raise maintenance_work_mem" in said


def test_memory_is_what_the_graph_takes_within_the_machines_share(connection: Connection) -> None:
    for items in (10_000, 100_000, 700_000):
        assert items * BYTES_AN_ITEM < memory_of(connection, items) < items * BYTES_AN_ITEM * 1.1 + (128 << 20)
    (buffers,) = connection.execute("select pg_size_bytes(current_setting('shared_buffers'))").fetchone() or (0,)
    assert memory_of(connection, 10**9) == max(2 * buffers, 1 << 30)
    connection.execute("set maintenance_work_mem = '20GB'")
    assert memory_of(connection, 10**9) == max(2 * buffers, 20 << 30), "the server's own setting counts"


def test_one_long_item_id_does_not_make_the_kept_trends_large(tmp_path: Path) -> None:
    item_ids, path = sorted([f"i{n}" for n in range(1000)] + ["é" * 500, "i3 \n"]), tmp_path / "run" / "trends.npz"
    trends = np.arange(len(item_ids) * TRENDS, dtype=np.float32).reshape(-1, TRENDS)
    save_trends(path, item_ids, trends)
    assert path.stat().st_size < 60_000  # as fixed-width text, 2 MB
    known, kept = read_trends(path)
    found = trends_by_name(["i3 \n", "new", "é" * 500, "i0"], known, kept)
    np.testing.assert_array_equal(found[[0, 2, 3]], trends[[item_ids.index("i3 \n"), -1, 0]])
    assert found[1, UNSEEN] == 1.0
    save_trends(path, [], trends[:0])
    assert trends_by_name(["i0"], *read_trends(path))[0, UNSEEN] == 1.0
