"""Encode the catalogue with the candidate of a daily run and load vectors and transitions into Postgres.

python jobs/embed_items.py --run NAME
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from nearline.adapters.postgres import connect
from nearline.adapters.snapshot import read_snapshot
from nearline.adapters.version_loader import Source, load_version, save_trends
from nearline.adapters.version_tables import live_version, take_version
from nearline.core.trends import trends_of
from nearline.daily_training import text_vectors_folder
from nearline.errors import run_job
from nearline.run_folder import RunFolder

log = logging.getLogger("nearline.embed")


def main(argv: list[str] | None = None) -> int:
    """Fill the version's own partitions and index them; running it again empties and fills them anew."""
    run = RunFolder.from_arguments(__doc__, argv)
    settings = run.settings
    with connect(settings, autocommit=True) as connection:
        if live_version(connection) == run.version:
            log.info("version %d is live: it was loaded already", run.version)
            return 0
        take_version(connection, run.version)
        source = Source(
            version=run.version,
            mlflow_run_id=json.loads(run.registered.read_text())["run_id"],
            metrics=json.loads(run.judgement.read_text())["metrics"],
            model=run.model,
            text_vectors=text_vectors_folder(run),
            trends=_trends(run),
        )
        load_version(settings, connection, source)
    return 0


def _trends(run: RunFolder) -> Path:
    """How items do at the newest event of the snapshot."""
    snapshot = read_snapshot(run.snapshot)
    path = run.path / "trends.npz"
    moment = float(snapshot.ledger.time.max(initial=0.0)) + 1.0
    save_trends(path, snapshot.item_ids, trends_of(snapshot.ledger, moment))
    return path


if __name__ == "__main__":
    run_job(main)
