"""Load what people did from Parquet, CSV or JSON Lines, after the items it is about. Each event is loaded once.

Columns: user_id, item_id (empty for a search), kind, occurred_at (with its zone); optional event_id, value, text (of a
search or comment), attributes (a JSON object).

python jobs/ingest_events.py /data/events/2026-03-01.csv
"""

from __future__ import annotations

import argparse
from pathlib import Path

from nearline.adapters.ingest import ingest
from nearline.adapters.input_files import EVENT
from nearline.errors import run_job
from nearline.settings import Settings


def main(argv: list[str] | None = None) -> int:
    """Load, and print three lines about it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("place", type=Path, help="a file, or a folder with files of any of the formats")
    arguments = parser.parse_args(argv)
    print(ingest(Settings.from_env(), EVENT, arguments.place))
    return 0


if __name__ == "__main__":
    run_job(main)
