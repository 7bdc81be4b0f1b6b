"""Compute everybody's interest vector with the candidate of a daily run, beside the live ones.

python jobs/rebuild_interests.py --run NAME
"""

from __future__ import annotations

import logging

from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import connect
from nearline.adapters.version_tables import live_version, take_version
from nearline.errors import run_job
from nearline.models.served_model import ServedModel
from nearline.run_folder import RunFolder

log = logging.getLogger("nearline.rebuild")


def main(argv: list[str] | None = None) -> int:
    """Rebuild all vectors of the registered version."""
    run = RunFolder.from_arguments(__doc__, argv)
    settings = run.settings
    with connect(settings, autocommit=True) as connection:
        if live_version(connection) == run.version:
            log.info("version %d is live: its interests are computed, and kept up", run.version)
            return 0
        take_version(connection, run.version)
        people = InterestLedger(connection, ServedModel(run.model), run.version).rebuild()
    log.info("version %d has the interests of %d people", run.version, people)
    return 0


if __name__ == "__main__":
    run_job(main)
