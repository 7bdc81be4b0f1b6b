"""Load a catalogue from Parquet, CSV or JSON Lines; new and changed items only.

Columns: item_id, kind, title; optional description, language, attributes (a JSON object), image_uri, is_active.

python jobs/ingest_items.py /data/catalogue
"""

from __future__ import annotations

import argparse
from pathlib import Path

from nearline.adapters.ingest import ingest
from nearline.adapters.input_files import ITEM
from nearline.errors import run_job
from nearline.settings import Settings


def main(argv: list[str] | None = None) -> int:
    """Load, and print three lines about it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("place", type=Path, help="a file, or a folder with files of any of the formats")
    arguments = parser.parse_args(argv)
    print(ingest(Settings.from_env(), ITEM, arguments.place))
    return 0


if __name__ == "__main__":
    run_job(main)
