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
        folders = [path for path in (settings.home / name).glob("*") if path.is_dir()]
        newest_first = sorted((path for path in folders if path.name[0] != "."), key=_changed_at, reverse=True)
        # What is not whole yet has a dot before its name; it was left where a process was killed.
        left = [path for path in folders if path.name[0] == "." and _changed_at(path) < time.time() - SCRATCH_SECONDS]
        for folder in (past := [*newest_first[keep:], *left]):
            shutil.rmtree(folder, ignore_errors=True)
        log.info("%-26s %d", f"folders of {name} removed", len(past))
    log.info("%-26s %d", "Spark folders removed", _remove_scratch(settings.home / "spark"))
    log.info("%-26s %d", "server logs cut", sum(map(_cut, settings.logs_folder.glob("*.log"))))
    return 0


def _changed_at(path: Path) -> float:
    """Seconds since 1970; 0 where it is gone by now."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _remove_scratch(folder: Path) -> int:
    before = time.time() - SCRATCH_SECONDS
    left = [path for name in SPARK_SCRATCH for path in folder.glob(name) if _changed_at(path) < before]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
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
