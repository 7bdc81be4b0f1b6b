"""Rows as they come, into items and events that can be trusted, or a reason why not."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from nearline.core.plain_text import UNPRINTABLE, clean_text

MAX_ID = 500
"""Characters of an id."""
MAX_ID_BYTES = 1000
"""Bytes of an id in UTF-8: two of them are one index key, and Postgres refuses a key of more than 2,704 bytes."""
MAX_TITLE = 10_000
"""Characters. Nobody reads a longer title: such a row has its columns mixed up."""
MAX_TEXT = 100_000
"""Characters of a description, query, comment or of all attributes; a language model reads the first few hundred."""
CLOCK_SKEW = timedelta(minutes=5)
"""Clocks of honest machines differ by less; the event table has the same limit."""
MAX_VALUE = 1e15
"""Of a rating, price or amount, either side of zero; the event table has the same limit."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Item:
    """A row of ``nearline_data.item``; ``attributes`` is the text of a JSON object."""

    item_id: str
    kind: str
    title: str
    description: str
    language: str | None
    attributes: str
    image_uri: str | None
    is_active: bool


@dataclass(frozen=True, slots=True)
class Event:
    """A row of ``nearline_data.event``; ``attributes`` is the text of a JSON object or None."""

    event_id: str
    user_id: str
    item_id: str | None
    kind: str
    text: str | None
    value: float | None
    attributes: str | None
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a row cannot be loaded: few different sentences, so that they can be counted."""

    reason: str


class _Refused(Exception):
    """Carries the reason out of the checks of one row."""


def clean_item(row: Mapping[str, Any]) -> Item | Rejection:
    """Check one row of a catalogue.

    Parameters
    ----------
    row
        Has ``item_id, kind, title``; may have ``description, language, attributes, image_uri, is_active``.
        Values are text as read from a file (``is_active`` may be a bool), None where missing.
    """
    try:
        title = clean_text(_valid(row, "title", MAX_TITLE))
        if not title:
            raise _Refused("title is missing")
        return Item(
            item_id=_identifier(row, "item_id"),
            kind=_identifier(row, "kind"),
            title=title,
            description=clean_text(_short(row, "description", MAX_TEXT)),
            language=_identifier(row, "language") if row.get("language") else None,
            attributes=_attributes(row) or "{}",
            image_uri=_identifier(row, "image_uri", MAX_TITLE) if row.get("image_uri") else None,
            is_active=_flag(row.get("is_active")),
        )
    except _Refused as refused:
        return Rejection(str(refused))


def clean_event(row: Mapping[str, Any], kinds: Collection[str], now: datetime) -> Event | Rejection:
    """Check one row of what people did.

    Parameters
    ----------
    row
        Has ``user_id, item_id, kind, occurred_at``; may have ``value, text, attributes, event_id``. ``occurred_at``
        is an aware datetime or ISO text with an offset. Where ``event_id`` is missing it is derived from all the rest,
        so that the same row always has the same id.
    kinds
        The kinds of event that are known.
    now
        Aware. An event more than `CLOCK_SKEW` later is refused.
    """
    try:
        user_id = _identifier(row, "user_id")
        kind = _identifier(row, "kind")
        if kind not in kinds:
            raise _Refused(f"kind {kind[:40]!r} is unknown")
        text = clean_text(_short(row, "text", MAX_TEXT)) or None
        item_id = _identifier(row, "item_id") if row.get("item_id") else None
        if kind == "search" and not text:
            raise _Refused("a search needs text")
        if kind != "search" and item_id is None:
            raise _Refused("item_id is missing")
        value = _number(row.get("value"))
        attributes = _attributes(row)
        occurred_at = _time(row.get("occurred_at"), now)
        if row.get("event_id"):
            event_id = _identifier(row, "event_id")
        else:
            event_id = _digest(user_id, item_id, kind, text, value, attributes, occurred_at.isoformat())
        return Event(event_id, user_id, item_id, kind, text, value, attributes, occurred_at)
    except _Refused as refused:
        return Rejection(str(refused))


def _valid(row: Mapping[str, Any], name: str, limit: int) -> str:
    text = _short(row, name, limit)
    # Readers put U+FFFD where bytes are not UTF-8. In a long text one lost letter does not matter, in these it does.
    if "\ufffd" in text:
        raise _Refused(f"{name} is not valid UTF-8")
    return text


def _short(row: Mapping[str, Any], name: str, limit: int) -> str:
    text = row.get(name)
    if text is None:
        return ""
    if not isinstance(text, str):
        raise _Refused(f"{name} is not text")
    if len(text) > limit:
        raise _Refused(f"{name} has more than {limit:,} characters")
    return text


def _identifier(row: Mapping[str, Any], name: str, limit: int = MAX_ID) -> str:
    text = _valid(row, name, limit).strip()
    if not text:
        raise _Refused(f"{name} is missing")
    if UNPRINTABLE.search(text):
        raise _Refused(f"{name} has unprintable characters")
    if len(text.encode()) > MAX_ID_BYTES:
        raise _Refused(f"{name} has more than {MAX_ID_BYTES:,} bytes")
    return text


def _attributes(row: Mapping[str, Any]) -> str | None:
    text = _short(row, "attributes", MAX_TEXT)
    if not text.strip():
        return None
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise _Refused("attributes is not a JSON object")
        return json.dumps(_printable(found), ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        raise _Refused("attributes is not valid JSON") from None


def _printable(value: Any) -> Any:
    """``value`` without the characters that Postgres cannot store in jsonb, wherever they are."""
    if isinstance(value, str):
        return UNPRINTABLE.sub(" ", value) if UNPRINTABLE.search(value) else value
    if isinstance(value, dict):
        return {_printable(name): _printable(part) for name, part in value.items()}
    return [_printable(part) for part in value] if isinstance(value, list) else value


def _flag(value: Any) -> bool:
    if value is None or value == "":
        return True
    if isinstance(value, bool):
        return value
    known = {"true": True, "1": True, "t": True, "yes": True, "false": False, "0": False, "f": False, "no": False}
    try:
        return known[str(value).strip().lower()]
    except KeyError:
        raise _Refused("is_active is neither true nor false") from None


def _number(value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise _Refused("value is not a finite number")
    if abs(number) > MAX_VALUE:
        raise _Refused(f"value is beyond {MAX_VALUE:.0e}")
    return number


def _time(value: Any, now: datetime) -> datetime:
    if isinstance(value, str) and value.strip():
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise _Refused("occurred_at is not an ISO 8601 time such as 2026-03-01T12:00:00Z") from None
    if not isinstance(value, datetime):
        raise _Refused("occurred_at is missing" if value is None or value == "" else "occurred_at is not a time")
    if value.tzinfo is None:
        raise _Refused("occurred_at has no time zone")
    if value > now + CLOCK_SKEW:
        raise _Refused("occurred_at is in the future")
    if value < EPOCH:
        raise _Refused("occurred_at is before 1970")
    return value.astimezone(UTC)


def _digest(*parts: object) -> str:
    joined = "\x1f".join("" if part is None else str(part) for part in parts)
    return hashlib.md5(joined.encode(), usedforsecurity=False).hexdigest()
