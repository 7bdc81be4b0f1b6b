"""Make the candidate of a daily run the live version: catch up, then flip and move the MLflow alias together.

python jobs/publish.py --run NAME
"""

from __future__ import annotations

import json
import logging

from nearline.adapters.champion_alias import champion, leave_note, move_alias, take_note_away
from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import Connection, connect, queries
from nearline.adapters.promotion import check_index, go_live
from nearline.adapters.version_tables import live_version, take_version
from nearline.errors import GateRefused, run_job
from nearline.models.served_model import ServedModel
from nearline.run_folder import RunFolder
from nearline.settings import Settings

log = logging.getLogger("nearline.publish")


def main(argv: list[str] | None = None) -> int:
    """Publish; running it again changes nothing."""
    run = RunFolder.from_arguments(__doc__, argv)
    settings = run.settings
    version = run.version
    with connect(settings, autocommit=True) as connection:
        if live_version(connection) == version:
            # A retry. The alias was moved with the flip, and may say by now that somebody wants another version.
            log.info("version %d is live already", version)
            take_note_away(settings, version)
            return 0
        take_version(connection, version)
        check_index(connection, version)
        connection.execute(queries("publish")["refresh_popularity"])
        judgement = json.loads(run.judgement.read_text())
        by, because = f"daily_training {run.name}", judgement["reason"]
        leave_note(settings, version, by, because)
        events = go_live(
            InterestLedger(connection, ServedModel(run.model), version),
            by,
            because,
            is_wanted=lambda: _served(settings, connection) in (judgement.get("beside_version"), version),
            before_commit=lambda: move_alias(settings, version),
        )
        if events is None:
            take_note_away(settings, version)
            raise GateRefused(
                f"Expected the champion to be version {judgement.get('beside_version')}, beside which version "
                f"{version} was judged, saw {_served(settings, connection)}: somebody moved the alias since. "
                "Fix: clear the task judge, and with it what follows, to judge it beside that one."
            )
    log.info("version %d is live; it caught up with %d events that came during the rebuild", version, events)
    take_note_away(settings, version)
    return 0


def _served(settings: Settings, connection: Connection) -> int | None:
    """The version that is to be served: as the alias says, or where there is none the live one."""
    found = champion(settings)
    return found.version if found else live_version(connection)


if __name__ == "__main__":
    run_job(main)
