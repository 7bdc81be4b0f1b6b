"""Items that came after the model get a vector from their text, so that they are offered before the next training."""

from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np

from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import queries
from nearline.core.item_text import item_text
from nearline.core.trends import unmet

log = logging.getLogger("nearline.refresh")

ITEMS_A_SWEEP = 32
"""Encoding them takes some tenths of a second, for which events wait."""
ITEMS_A_LOOK = 512
"""After a load of a catalogue a look sorts all of it."""


class NewItems:
    """Places new items for the version of a ledger of interests, and refreshes who touched them before.

    The first looks go through all that came after the model, which takes long after a load of a catalogue; the ones
    after them only through what came a moment ago. A run takes a minute, so each minute begins with a look at all.
    """

    def __init__(self, ledger: InterestLedger) -> None:
        self.ledger = ledger
        self._sql = queries("refresh")
        self._look_at_all = True
        self._found: list[tuple[Any, ...]] = []

    def take(self, *, only_people: bool = False) -> int:
        """Place some new items, and refresh the people of this shard who wait for one; returns how many people.

        ``only_people``: another shard places the items.
        """
        placed = 0 if only_people else self._place()
        refreshed = self.ledger.take_arrived(look_at_all=self._look_at_all)
        self._look_at_all = self._look_at_all and placed == ITEMS_A_SWEEP
        if placed or refreshed:
            log.info("%d new items have a vector, %d people who touched such are refreshed", placed, refreshed)
        return refreshed

    def take_for(self, seconds: float) -> None:
        """Place new items until none is left or the time is over, at least some, and refresh who waits for one."""
        give_up = time.monotonic() + seconds
        while self._place() == ITEMS_A_SWEEP and time.monotonic() < give_up:
            pass
        self.ledger.take_arrived(look_at_all=self._look_at_all)
        self._look_at_all = False

    def _place(self) -> int:
        connection, version = self.ledger.connection, self.ledger.model_version
        if not self._found:
            self._found = connection.execute(
                self._sql["new_items"],
                {"model_version": version, "max_items": ITEMS_A_LOOK, "look_at_all": self._look_at_all},
            ).fetchall()
        rows, self._found = self._found[:ITEMS_A_SWEEP], self._found[ITEMS_A_SWEEP:]
        if not rows:
            return 0
        texts = [item_text(title, description, kind, attributes) for _, kind, title, description, attributes in rows]
        ids = [row[0] for row in rows]
        trends = np.tile(unmet(), (len(rows), 1))  # nobody has met them, as far as the model knows
        vectors = self.ledger.writer.model.item_vectors(ids, texts, trends)
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(
                self._sql["save_item"],
                [
                    {"model_version": version, "item_id": row[0], "kind": row[1], "vector": vector}
                    for row, vector in zip(rows, vectors, strict=True)
                ],
            )
        return len(rows)
