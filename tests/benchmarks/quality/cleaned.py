"""Items and events that passed the checks of ingest, and how many rows did not."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from benchmarks.quality.rows import read_rows
from nearline.adapters.input_files import EVENT, ITEM, InputFile
from nearline.core.cleaning import EPOCH, Event, Item, Rejection, clean_event, clean_item
from nearline.errors import InputError
from nearline.settings import Settings

log = logging.getLogger("nearline.quality")

ORDERED = replace(EVENT, required=("user_id", "item_id"), optional=("kind", "value", "text", "position"))
"""Events without times: their order is that of the column position, or else that of the rows."""
DEFAULT_KIND = "view"
UNKNOWN_ITEM = "item_id is not in the catalogue"


def clean_items(files: list[InputFile]) -> tuple[list[Item], int]:
    """Items sorted by id, of rows with the same id the first; and the rows left out."""
    found, rejected, read = {}, [], 0
    for read, row in enumerate(read_rows(files, ITEM), 1):  # noqa: B007
        item = clean_item(row)
        if isinstance(item, Rejection):
            rejected.append(item.reason)
        elif found.setdefault(item.item_id, item) != item:
            rejected.append("item_id seen twice with different content")
    _check_share(rejected, read, files)
    return [found[item_id] for item_id in sorted(found)], len(rejected)


def clean_events(
    files: list[InputFile], kinds: dict[str, float], catalogue: Collection[str]
) -> tuple[list[Event], list[float], int]:
    """Events, their times in seconds since 1970, and the number of rows left out."""
    found, rejected, read, now = {}, [], 0, datetime.now(UTC)
    for read, row in enumerate(read_rows(files, EVENT), 1):  # noqa: B007
        event = clean_event(row, kinds, now)
        if isinstance(event, Rejection):
            rejected.append(event.reason)
        elif found.setdefault(event.event_id, event) != event:  # the same row twice is one event, as in ingest
            rejected.append("event_id seen twice with different content")
    events = [event for event in found.values() if _is_known(event, catalogue)]
    rejected += [UNKNOWN_ITEM] * (len(found) - len(events))
    _check_share(rejected, read, files, kinds)
    return events, [event.occurred_at.timestamp() for event in events], len(rejected)


def ordered_events(
    files: list[InputFile], kinds: dict[str, float], catalogue: Collection[str]
) -> tuple[list[Event], list[float], int]:
    """Events that know only an order, their places in it, and the number of rows left out."""
    found, times, rejected, number = [], [], [], -1
    for number, row in enumerate(read_rows(files, ORDERED)):
        place: Any = row.pop("position", None)
        filled = {**row, "kind": row.get("kind") or DEFAULT_KIND, "occurred_at": EPOCH, "event_id": f"{number:012d}"}
        event = clean_event(filled, kinds, EPOCH)
        if isinstance(event, Event) and not _is_known(event, catalogue):
            event = Rejection(UNKNOWN_ITEM)
        try:
            place = float(number if place is None else place)
        except (TypeError, ValueError):
            place = np.nan
        if isinstance(event, Rejection) or not np.isfinite(place):
            rejected.append(event.reason if isinstance(event, Rejection) else "position is not a number")
        else:
            found.append(event)
            times.append(place)
    _check_share(rejected, number + 1, files, kinds)
    return found, times, len(rejected)


def _is_known(event: Event, catalogue: Collection[str]) -> bool:
    return event.item_id is None or event.item_id in catalogue


def _check_share(rejected: list[str], read: int, files: list[InputFile], kinds: Collection[str] = ()) -> None:
    """Refuse ``read`` rows of which there are none, or of which too many were rejected, as ingest does."""
    if not read:
        raise InputError(f"{files[0].path}: expected rows, saw none in {len(files)} files. Fix: export them again.")
    if rejected:
        reason = max(set(rejected), key=rejected.count)
        log.warning("%s: %d rows left out, most often: %s", files[0].path, len(rejected), reason)
        most = Settings.from_env().max_rejected_share
        if len(rejected) > most * read:
            fix = f"use the kinds {', '.join(sorted(kinds))}" if "is unknown" in reason else "correct them"
            raise InputError(
                f"{files[0].path}: expected at most {most:.0%} of the rows to be rejected, saw {len(rejected)} of "
                f"{read}, most often: {reason}. Fix: {fix}, or set NEARLINE_MAX_REJECTED_SHARE."
            )
