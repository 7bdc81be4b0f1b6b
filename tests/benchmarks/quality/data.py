"""A data set for the quality benchmark: a canonical folder, MovieLens' own, or one that knows only an order.

Rows go through the same checks as in the ingest jobs (`nearline.core.cleaning`), without Spark and Postgres, so that
the figures speak of what would be in the database.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import load_movielens
from benchmarks.quality.cleaned import ORDERED, clean_events, clean_items, ordered_events
from nearline.adapters.input_files import EVENT, ITEM, digest_of, find_files, inspect
from nearline.adapters.postgres import sql_folder
from nearline.core.behaviour import Ledger, make_ledger
from nearline.core.item_text import item_text
from nearline.errors import InputError

log = logging.getLogger("nearline.quality")

MOVIELENS = ("links.csv", "movies.csv", "ratings.csv", "tags.csv")


@dataclass(frozen=True)
class QualityData:
    """Catalogue and ledger of one folder.

    Attributes
    ----------
    item_ids, texts
        The catalogue, sorted by id, in the order of the ledger's item codes; what each item says.
    ledger
        All events. Without times in the data, ``time`` is the place in the order.
    timed
        Whether ``ledger.time`` is seconds since 1970.
    digest
        SHA-256, in hex, of the files.
    rejected
        Rows left out, items and events together.
    """

    name: str
    item_ids: list[str]
    texts: list[str]
    ledger: Ledger
    timed: bool
    digest: str
    rejected: int

    @classmethod
    def load(cls, folder: Path) -> QualityData:
        """Read ``folder``.

        Raises
        ------
        InputError
            When there is nothing to read, a column is missing, or too many rows cannot be read.
        """
        name = folder.resolve().name
        if (folder / "ratings.csv").exists():
            digest = _digest(path for path in map(folder.joinpath, MOVIELENS) if path.exists())
            with tempfile.TemporaryDirectory(prefix="nearline-quality-") as canonical:
                load_movielens.main([str(folder), "--out", canonical])
                return replace(cls.load(Path(canonical)), name=name, digest=digest)
        item_files = [inspect(path, digest_of(path), ITEM) for path in find_files(folder, ITEM)]
        paths = find_files(folder, EVENT)
        event_files = [inspect(path, digest_of(path), ORDERED) for path in paths]
        timed = all("occurred_at" in file.columns for file in event_files)
        if timed:
            event_files = [inspect(path, file.digest, EVENT) for path, file in zip(paths, event_files, strict=True)]
        else:
            seen = [column for file in event_files for column in file.columns]
            by = "the column position" if "position" in seen else "the rows"
            columns = ", ".join(dict.fromkeys(seen))
            log.warning("%s: no times, as a file lacks occurred_at; the order is that of %s. Saw %s", name, by, columns)
        weights = default_kind_weights()
        everything, bad_items = clean_items(item_files)
        catalogue = {item.item_id for item in everything}
        events, times, bad_events = (clean_events if timed else ordered_events)(event_files, weights, catalogue)
        items = [item for item in everything if item.is_active]
        if not items:
            raise InputError(
                f"{name}: expected active items, saw {len(everything)} that are not. "
                "Fix: set is_active to true for what may be recommended."
            )
        ledger = make_ledger(
            event_ids=[event.event_id for event in events],
            user_ids=[event.user_id for event in events],
            item_ids=[event.item_id for event in events],
            kinds=[event.kind for event in events],
            texts=[event.text for event in events],
            times=np.array(times, dtype=np.float64),
            catalogue=[item.item_id for item in items],
            kind_weights=weights,
        )
        texts = [
            item_text(item.title, item.description, item.kind, json.loads(item.attributes), item.language)
            for item in items
        ]
        digest = _digest([*find_files(folder, ITEM), *paths])
        return cls(name, [item.item_id for item in items], texts, ledger, timed, digest, bad_items + bad_events)


def default_kind_weights() -> dict[str, float]:
    """Kind of event -> weight, as the migrations set them in ``nearline_data.event_kind``."""
    body = "\n".join(path.read_text(encoding="utf-8") for path in sorted((sql_folder() / "migrations").glob("*.sql")))
    inserts = re.findall(r"insert into nearline_data\.event_kind \(kind, weight,.*?;\n", body, re.DOTALL)
    return {kind: float(weight) for kind, weight in re.findall(r"\('(\w+)', (-?[\d.]+), '", "".join(inserts))}


def _digest(paths: Iterable[Path]) -> str:
    return hashlib.sha256(" ".join(digest_of(path) for path in sorted(paths)).encode()).hexdigest()
