"""MovieLens rows, as GroupLens publishes them, into canonical items and events."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from nearline.errors import InputError

COLUMNS: dict[str, tuple[str, ...]] = {
    "movies.csv": ("movieId", "title", "genres"),
    "ratings.csv": ("userId", "movieId", "rating", "timestamp"),
    "tags.csv": ("userId", "movieId", "tag", "timestamp"),
    "links.csv": ("movieId", "imdbId", "tmdbId"),
}
"""Files and the columns they must have; links.csv may be missing."""

_YEAR = re.compile(r"\s*\((\d{4})(?:[-–]\d{0,4})?\)\s*$")
_ARTICLE = re.compile(r"^(.*), (The|A|An|Le|La|Les|L'|Der|Die|Das|El|Il|Los)( \(.*\))?$")


def film(movie: Mapping[str, str], imdb_id: str | None = None) -> dict[str, Any]:
    """One row of movies.csv as an item.

    >>> film({"movieId": "6", "title": "Usual Suspects, The (1995)", "genres": "Crime|Thriller"}, "0114814")["title"]
    'The Usual Suspects'
    >>> film({"movieId": "6", "title": "Heat (1995)", "genres": "Action|Crime"})["description"]
    'A film of 1995. Action, Crime.'
    """
    year = _YEAR.search(movie["title"])
    title = _YEAR.sub("", movie["title"]).strip() or movie["title"].strip()
    moved = _ARTICLE.match(title)
    if moved:
        title = f"{moved[2]}{'' if moved[2].endswith(chr(39)) else ' '}{moved[1]}{moved[3] or ''}"
    genres = [genre for genre in movie["genres"].split("|") if genre and genre != "(no genres listed)"]
    attributes: dict[str, Any] = {"genres": genres}
    if year:
        attributes["year"] = int(year[1])
    if imdb_id:
        attributes["imdb_id"] = f"tt{imdb_id}"
    told = [f"A film of {year[1]}." if year else "", f"{', '.join(genres)}." if genres else ""]
    return {
        "item_id": movie["movieId"],
        "kind": "film",
        "title": title,
        "description": " ".join(part for part in told if part),
        "attributes": json.dumps(attributes, ensure_ascii=False),
        "language": "en",
    }


def rating(row: Mapping[str, str]) -> tuple[str, str, str, float | None, str | None, int]:
    """One row of ratings.csv as (user_id, item_id, kind, value, text, seconds)."""
    return row["userId"], row["movieId"], "rate", float(row["rating"]), None, int(row["timestamp"])


def tag(row: Mapping[str, str]) -> tuple[str, str, str, float | None, str | None, int]:
    """One row of tags.csv as (user_id, item_id, kind, value, text, seconds)."""
    return row["userId"], row["movieId"], "comment", None, row["tag"], int(row["timestamp"])


def event_columns(rows: list[tuple[str, str, str, float | None, str | None, int]]) -> dict[str, Any]:
    """Events as canonical columns in time order."""
    rows = sorted(rows, key=lambda row: row[-1])
    columns = [list(column) for column in zip(*rows, strict=True)] or [[]] * 6
    names = ("user_id", "item_id", "kind", "value", "text")
    occurred_at = np.array(columns[5], "datetime64[s]").astype("datetime64[us]")
    return dict(zip(names, columns, strict=False)) | {"occurred_at": occurred_at}


def check_columns(file: str, seen: list[str]) -> None:
    """Refuse a file that lacks a column.

    Raises
    ------
    InputError
        Naming the file, the columns it lacks and those it has.
    """
    missing = [name for name in COLUMNS[file] if name not in seen]
    if missing:
        raise InputError(
            f"{file}: expected the columns {', '.join(COLUMNS[file])}, saw {', '.join(seen) or 'none'}; missing: "
            f"{', '.join(missing)}. Fix: use the comma-separated files that GroupLens publishes."
        )
