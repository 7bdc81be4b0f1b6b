"""Drop what is past its time: old model versions, run folders, rejected rows; prepare next months' partitions.

python jobs/keep_house.py
"""

from __future__ import annotations

import argparse
import logging
import shutil

from nearline.adapters.postgres import connect, queries
from nearline.adapters.version_tables import drop_past_use
from nearline.errors import run_job
from nearline.settings import Settings

log = logging.getLogger("nearline.housekeeping")

KEEP = {"runs": 7, "models": 5, "text_vectors": 5}
"""Folders of the state folder, and how many of the newest stay; models are fetched from MLflow again when missing."""


def main(argv: list[str] | None = None) -> int:
    """Clean up; running it twice is harmless."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(argv)
    settings = Settings.from_env()
    with connect(settings, autocommit=True) as connection:
        for what, how_many in connection.execute(queries("publish")["keep_house"]).fetchall():
            log.info("%-26s %d", what, how_many)
        log.info("%-26s %d", "model versions dropped", len(drop_past_use(connection, settings.keep_versions)))
    for name, keep in KEEP.items():
        newest_first = sorted((settings.home / name).glob("*"), key=lambda path: path.stat().st_mtime, reverse=True)
        for folder in newest_first[keep:]:
            shutil.rmtree(folder)
        log.info("%-26s %d", f"folders of {name} removed", len(newest_first[keep:]))
    return 0


if __name__ == "__main__":
    run_job(main)
