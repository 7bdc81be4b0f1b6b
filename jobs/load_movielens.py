"""Turn a MovieLens folder (any version with comma CSV: latest-small, 20M, 25M, 32M) into Parquet files to ingest.

Ratings become events of the kind "rate", tags events of the kind "comment".

python jobs/load_movielens.py ml-latest-small --out /tmp/movielens
"""

from __future__ import annotations

import argparse
import csv
import logging
from collections.abc import Iterator
from pathlib import Path

from nearline.adapters.canonical_parquet import write_canonical
from nearline.core import movielens
from nearline.errors import InputError, run_job

log = logging.getLogger("nearline.load_movielens")


def main(argv: list[str] | None = None) -> int:
    """Read ``movies.csv``, ``ratings.csv``, ``tags.csv`` and, where there is one, ``links.csv``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with movies.csv, ratings.csv and tags.csv")
    parser.add_argument("--out", type=Path, required=True, help="folder to write items.parquet and events.parquet to")
    arguments = parser.parse_args(argv)
    folder: Path = arguments.folder
    for name in ("movies.csv", "ratings.csv", "tags.csv"):
        if not (folder / name).is_file():
            raise InputError(
                f"{folder}: expected a MovieLens folder, {name} is missing. Fix: unpack the whole archive."
            )
    has_links = (folder / "links.csv").is_file()
    imdb = {row["movieId"]: row["imdbId"] for row in _rows(folder / "links.csv")} if has_links else {}
    items = [movielens.film(row, imdb.get(row["movieId"])) for row in _rows(folder / "movies.csv")]
    events = [movielens.rating(row) for row in _rows(folder / "ratings.csv")]
    events += [movielens.tag(row) for row in _rows(folder / "tags.csv")]
    write_canonical(arguments.out, items, movielens.event_columns(events))
    log.info("%s: %d films, %d events", arguments.out, len(items), len(events))
    return 0


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        movielens.check_columns(path.name, list(reader.fieldnames or []))
        number = 1
        try:
            for number, row in enumerate(reader, start=2):  # noqa: B007 - shown when a later row cannot be read
                yield row
        except (UnicodeDecodeError, csv.Error) as problem:
            raise InputError(
                f"{path}: cannot be read after row {number}: {problem}. Fix: get the file again."
            ) from None


if __name__ == "__main__":
    run_job(main)
