"""Drop what is past its time: old model versions, run folders, rejected rows, logs; prepare next months' partitions.

python jobs/keep_house.py
"""

from __future__ import annotations

import argparse
import logging
import shutil
import time
from pathlib import Path

from nearline.adapters.postgres import connect, queries
from nearline.adapters.version_tables import drop_past_use
from nearline.errors import run_job
from nearline.settings import Settings

log = logging.getLogger("nearline.housekeeping")

KEEP = {"runs": 7, "models": 5, "text_vectors": 5}
"""Folders of the state folder, and how many of the newest stay; models are fetched from MLflow again when missing."""


SPARK_SCRATCH = ("blockmgr-*", "spark-*")
SCRATCH_SECONDS = 24 * 3600
"""A driver that ends removes its own; one that was killed does not, and none runs for so long."""
LOG_BYTES, LOG_BYTES_KEPT = 50 * 2**20, 5 * 2**20
"""Of a local server's log: from when on it is cut, and how much of its end stays."""


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
    log.info("%-26s %d", "Spark folders removed", _remove_scratch(settings.home / "spark"))
    log.info("%-26s %d", "server logs cut", sum(map(_cut, settings.logs_folder.glob("*.log"))))
    return 0


def _remove_scratch(folder: Path) -> int:
    before = time.time() - SCRATCH_SECONDS
    left = [path for name in SPARK_SCRATCH for path in folder.glob(name) if path.stat().st_mtime < before]
    for path in left:
        shutil.rmtree(path)
    return len(left)


def _cut(path: Path) -> bool:
    """Keep the end of a log that is too long, in its place: servers append to it, and go on where it ends then."""
    with open(path, "r+b") as file:
        if path.stat().st_size <= LOG_BYTES:
            return False
        file.seek(-LOG_BYTES_KEPT, 2)
        end = file.read()
        file.seek(0)
        file.write(end[end.find(b"\n") + 1 :])
        file.truncate()
    return True


if __name__ == "__main__":
    run_job(main)
