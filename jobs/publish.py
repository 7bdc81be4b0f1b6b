"""Make the candidate of a daily run the live version: catch up, flip in one transaction, move the MLflow alias.

python jobs/publish.py --run 2026-11-21
"""

from __future__ import annotations

import argparse
import json
import logging

from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.mlflow_registry import move_alias
from nearline.adapters.postgres import Connection, connect, queries
from nearline.errors import DatabaseError, run_job
from nearline.models.served_model import ServedModel
from nearline.run_folder import RunFolder
from nearline.settings import Settings

log = logging.getLogger("nearline.publish")


def main(argv: list[str] | None = None) -> int:
    """Publish; running it again changes nothing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="name of the daily run")
    arguments = parser.parse_args(argv)
    settings = Settings.from_env()
    run = RunFolder(settings, arguments.run)
    publish = queries("publish")
    with connect(settings, autocommit=True) as connection:
        ledger = InterestLedger(connection, ServedModel(run.model), run.version)
        live = connection.execute(queries("refresh")["live"]).fetchone()
        if live != (run.version,):  # else this is a retry: it is served already, and the nearline job keeps it fresh
            if not ledger.lock():
                raise DatabaseError(
                    f"Another job writes the vectors of version {run.version}. Fix: wait for it to end."
                )
            connection.execute(publish["refresh_popularity"])
            about = {
                "model_version": run.version,
                "by_whom": f"daily_training {run.name}",
                "because": json.loads(run.judgement.read_text())["reason"],
            }
            events = ledger.catch_up_and(lambda: _promote(connection, about))
            log.info("caught up with %d events that came during the rebuild", events)
    move_alias(settings, run.version)
    log.info("version %d is live", run.version)
    return 0


def _promote(connection: Connection, about: dict[str, object]) -> None:
    connection.execute(queries("publish")["promote"], about)


if __name__ == "__main__":
    run_job(main)
