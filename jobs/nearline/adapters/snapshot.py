"""Read what a daily run left as Parquet: the snapshot of catalogue and ledger, the pairs, the transitions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nearline.core.behaviour import Ledger, make_ledger
from nearline.core.item_text import item_text
from nearline.core.transitions import Reading, Transitions, top_successors
from nearline.errors import InputError


@dataclass(frozen=True)
class Snapshot:
    """Catalogue and ledger of one moment.

    Attributes
    ----------
    item_ids, texts
        The catalogue in the order of the ledger's item codes.
    facts
        snapshot.json: counts, digest, kinds, and the cut times as seconds since 1970.
    """

    item_ids: list[str]
    texts: list[str]
    ledger: Ledger
    facts: dict[str, Any]

    @property
    def cut(self) -> float:
        """Events from here on are for judging."""
        return float(self.facts["cut_time"])

    @property
    def inner_cut(self) -> float:
        """Events from here to the cut are for choosing: epochs, weights."""
        return float(self.facts["inner_cut_time"])


def read_facts(folder: Path) -> dict[str, Any]:
    """Read snapshot.json, which is written last.

    Raises
    ------
    InputError
        When it is missing.
    """
    if not (folder / "snapshot.json").exists():
        raise InputError(f"{folder}: expected snapshot.json, saw none. Fix: run take_snapshot for this run first.")
    facts: dict[str, Any] = json.loads((folder / "snapshot.json").read_text())
    return facts


def read_snapshot(folder: Path) -> Snapshot:
    """Read a snapshot; the catalogue is sorted by item id, so the same snapshot gives the same codes."""
    facts = read_facts(folder)
    items = pq.read_table(folder / "items.parquet").sort_by("item_id")
    events = pq.read_table(folder / "events.parquet")
    item_ids = items["item_id"].to_pylist()
    ledger = make_ledger(
        event_ids=events["event_id"].to_pylist(),
        user_ids=events["user_id"].to_pylist(),
        item_ids=events["item_id"].to_pylist(),
        kinds=events["kind"].to_pylist(),
        texts=events["text"].to_pylist(),
        times=pc.cast(events["occurred_at"].cast(pa.timestamp("us", tz="UTC")), pa.int64()).to_numpy() / 1e6,
        catalogue=item_ids,
        kind_weights=facts["kinds"],
    )
    return Snapshot(item_ids, texts_of(items), ledger, facts)


def texts_of(items: pa.Table | pa.RecordBatch) -> list[str]:
    """What each item says; columns title, description, kind, attributes (JSON text), language."""
    columns = [items.column(name).to_pylist() for name in ("title", "description", "kind", "attributes", "language")]
    return [
        item_text(title, description, kind, json.loads(attributes) if attributes else {}, language)
        for title, description, kind, attributes, language in zip(*columns, strict=True)
    ]


def read_pairs(folder: Path, left: str) -> tuple[list[str], list[str], np.ndarray]:
    """Read pairs as names of the left and the right side and float64 weights, in a fixed order."""
    table = pq.read_table(folder)
    right = next(name for name in table.column_names if name not in (left, "weight"))
    table = table.sort_by([(left, "ascending"), (right, "ascending")])
    return table[left].to_pylist(), table[right].to_pylist(), table["weight"].to_numpy()


def rows_of(reading: Reading) -> list[tuple[str, str, float | bool]]:
    """Which rows of a table of transitions are of one reading, for pyarrow."""
    return [("fading", "==", reading.fading), ("near", "==", reading.near)]


def read_transitions(path: Path, item_ids: list[str], reading: Reading | None = None) -> Transitions:
    """Read a table of transitions, of one reading where it has several, as item codes.

    Rows with an item outside the catalogue are left out.
    """
    table = pq.read_table(path, filters=reading and rows_of(reading))
    catalogue = pa.array(item_ids, pa.string())
    item, following = (
        pc.fill_null(pc.index_in(table[name].cast(pa.string()), catalogue), -1).to_numpy().astype(np.int64)
        for name in ("item_id", "next_item_id")
    )
    known = (item >= 0) & (following >= 0)
    return top_successors(item[known], following[known], table["weight"].to_numpy()[known])
