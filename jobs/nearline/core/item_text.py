"""What an item says about itself, as one line for a text model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_CHARACTERS = 600
"""A text model reads 64 tokens; no language needs more characters for them, and a megabyte would slow it down."""
ATTRIBUTE_CHARACTERS = 160
"""Attributes come before the description and may not crowd it out."""


def item_text(
    title: str | None,
    description: str | None = None,
    kind: str | None = None,
    attributes: Mapping[str, Any] | None = None,
    language: str | None = None,
) -> str:
    """Join title, attributes and description, the most telling first as a text model cuts off the end.

    Numbers (prices, counts) mean nothing to a text model and are left out, and so is ``language``, which the words
    show. An item that says nothing is known by its kind.

    >>> item_text("Anchorhead", "A gothic horror.", "game", {"author": "M. Gentry", "tags": ["horror"], "price": 9.9})
    'Anchorhead. M. Gentry, horror. A gothic horror.'
    >>> item_text(None, None, "page")
    'page'
    """
    del language
    words = ", ".join(_words(attributes or {}))[:ATTRIBUTE_CHARACTERS]
    parts = [" ".join((part or "")[: 2 * MAX_CHARACTERS].split()).rstrip(".") for part in (title, words, description)]
    text = ". ".join(part for part in parts if part)
    return f"{text}."[:MAX_CHARACTERS] if text else (kind or "item")


def _words(attributes: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for value in attributes.values():
        for part in value if isinstance(value, list | tuple) else [value]:
            word = part.strip() if isinstance(part, str) else ""
            if word and not word.replace(".", "", 1).isdigit() and word not in found:
                found.append(word)
    return found
