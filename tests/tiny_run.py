"""What the jobs of a daily run leave of a small ledger: Parquet files, without Postgres and Spark."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import tiny_models
from nearline.core.behaviour import Ledger
from nearline.core.transitions import PLAIN, READINGS, Reading, Transitions, transition_table
from nearline.run_folder import RunFolder


def take_snapshot(run: RunFolder, ledger: Ledger, cut: float, inner_cut: float) -> None:
    """Leave what take_snapshot leaves, of a ledger over the tiny catalogue; moments in seconds."""
    ids, texts = tiny_models.catalogue()
    run.snapshot.mkdir(parents=True)
    plain = pa.nulls(len(ids), pa.string())
    columns = {"description": plain, "kind": plain, "attributes": plain, "language": plain}
    pq.write_table(pa.table({"item_id": ids, "title": texts, **columns}), run.snapshot / "items.parquet")
    events = {
        "event_id": [f"e{row}" for row in range(len(ledger))],
        "user_id": [ledger.users[code] for code in ledger.user],
        "item_id": [ledger.items[code] if code >= 0 else None for code in ledger.item],
        "kind": [ledger.kinds[code] for code in ledger.kind],
        "text": [ledger.queries[code] if code >= 0 else None for code in ledger.query],
        "occurred_at": pa.array((ledger.time * 1e6).astype("int64"), pa.timestamp("us", tz="UTC")),
    }
    pq.write_table(pa.table(events), run.snapshot / "events.parquet")
    facts = {"kinds": tiny_models.KINDS, "digest": "d", "cut_time": cut, "inner_cut_time": inner_cut}
    facts |= {"items": len(ids), "events": len(ledger)}
    (run.snapshot / "snapshot.json").write_text(json.dumps(facts))


def pair_items(run: RunFolder, ledger: Ledger, cut: float, inner_cut: float) -> None:
    """Leave what pair_items leaves."""
    run.pairs.mkdir(parents=True)
    for name, end in (("transitions", cut), ("newest_transitions", np.inf), ("inner_transitions", inner_cut)):
        tables = {reading: transition_table(ledger.before(end), reading) for reading in READINGS}
        pq.write_table(_rows(ledger, tables), run.pairs / f"{name}.parquet")
    pairs = _rows(ledger, {PLAIN: transition_table(ledger.before(inner_cut))})
    pairs = pairs.drop_columns(["fading", "near"])
    pq.write_table(pairs.rename_columns(["left_id", "right_id", "weight"]), run.pairs / "item_pairs.parquet")
    asked = [(theme, f"{theme}-{number}") for theme in tiny_models.THEMES for number in range(4)]
    queries, items = zip(*asked, strict=True)
    table = pa.table({"query": queries, "item_id": items, "weight": np.ones(len(asked))})
    pq.write_table(table, run.pairs / "query_pairs.parquet")


def _rows(ledger: Ledger, tables: dict[Reading, Transitions]) -> pa.Table:
    return pa.concat_tables(
        pa.table(
            {
                "item_id": [ledger.items[code] for code in table.item],
                "next_item_id": [ledger.items[code] for code in table.next_item],
                "weight": table.weight.astype(np.float64),
                "fading": np.full(len(table), reading.fading),
                "near": np.full(len(table), reading.near),
            }
        )
        for reading, table in tables.items()
    )
