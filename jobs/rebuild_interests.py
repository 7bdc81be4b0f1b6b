"""Compute everybody's interest vector with the candidate of a daily run, beside the live ones.

python jobs/rebuild_interests.py --run 2026-11-21
"""

from __future__ import annotations

import argparse
import logging

from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import connect
from nearline.adapters.version_tables import take_version
from nearline.errors import run_job
from nearline.models.served_model import ServedModel
from nearline.run_folder import RunFolder
from nearline.settings import Settings

log = logging.getLogger("nearline.rebuild")


def main(argv: list[str] | None = None) -> int:
    """Rebuild all vectors of the registered version."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="name of the daily run")
    arguments = parser.parse_args(argv)
    settings = Settings.from_env()
    run = RunFolder(settings, arguments.run)
    with connect(settings, autocommit=True) as connection:
        take_version(connection, run.version)
        people = InterestLedger(connection, ServedModel(run.model), run.version).rebuild()
    log.info("version %d has the interests of %d people", run.version, people)
    return 0


if __name__ == "__main__":
    run_job(main)
