"""Pairs counted in Spark are those of nearline.core."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tiny_models
from nearline.adapters import spark_pairs
from nearline.adapters.snapshot import read_transitions
from nearline.adapters.spark import session
from nearline.core.transitions import READINGS, transition_table
from nearline.settings import Settings


@pytest.mark.parametrize("sent_items", [0, spark_pairs.SENT_ITEMS], ids=["totals are joined", "totals are sent"])
def test_spark_counts_what_numpy_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent_items: int) -> None:
    monkeypatch.setattr(spark_pairs, "SENT_ITEMS", sent_items)
    ledger = tiny_models.small_world(people=12)
    ledger.time[:] = np.floor(ledger.time / 1e5) * 1e5  # ties
    spark = session(Settings(home=tmp_path), "test pairs")
    rows = [
        (f"{n:05d}", ledger.users[user], ledger.items[item] if item >= 0 else None, "view",
         ledger.queries[query] if query >= 0 else None, float(weight), int(time * 1e6))
        for n, (user, item, query, weight, time) in enumerate(
            zip(ledger.user, ledger.item, ledger.query, ledger.weight, ledger.time, strict=True))
    ]  # fmt: skip
    events = spark.createDataFrame(
        rows,
        "event_id string, user_id string, item_id string, kind string, text string, weight double, at long",
    )
    counted = spark_pairs.transitions(spark_pairs.first_meetings(events)).cache()
    counted.write.parquet(str(tmp_path / "transitions"))
    for reading in READINGS:
        found = read_transitions(tmp_path / "transitions", list(ledger.items), reading)
        expected = transition_table(ledger, reading)
        there = {(a, b): w for a, b, w in zip(found.item, found.next_item, found.weight, strict=True)}
        here = {(a, b): w for a, b, w in zip(expected.item, expected.next_item, expected.weight, strict=True)}
        assert there == pytest.approx(here, abs=1e-5)

    pairs = spark_pairs.item_pairs(counted).toPandas()
    assert pairs.groupby("left_id").weight.sum().max() <= 1.0 + 1e-6
    asked = spark_pairs.query_pairs(events).toPandas()
    assert set(asked["query"]) <= set(tiny_models.THEMES)
    assert all(item.startswith(query) for query, item in zip(asked["query"], asked["item_id"], strict=True))
