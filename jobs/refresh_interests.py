"""Turn the newest events into interest vectors, for the model version that is live.

Reads what was committed since its cursor, refreshes the people concerned, and drains until its time is over, so that
Airflow pays for one task a minute and an event is in its vector within a second or two. A run that is started while
another one drains loads its model and waits for the lock: it takes over at once, with no gap between the two.

python jobs/refresh_interests.py --seconds 68
python jobs/refresh_interests.py --once
"""

from __future__ import annotations

import argparse
import logging
import time

from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.mlflow_registry import fetch_model
from nearline.adapters.postgres import Connection, connect, queries
from nearline.errors import run_job
from nearline.settings import Settings

log = logging.getLogger("nearline.refresh")

POLL_SECONDS = 0.2
LOCK_SECONDS = 30.0
"""How long a run waits for the one before it to end; a second one waiting gives up, and the next minute tries again."""


def main(argv: list[str] | None = None) -> int:
    """Refresh until the time is over, going over to another version when one goes live; or once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="how long to drain (default: NEARLINE_DRAIN_SECONDS)")
    parser.add_argument("--once", action="store_true", help="stop as soon as nothing is unread")
    arguments = parser.parse_args(argv)
    settings = Settings.from_env()
    seconds = settings.drain_seconds if arguments.seconds is None else arguments.seconds
    deadline = time.monotonic() + (0.0 if arguments.once else seconds)
    while True:
        with connect(settings, autocommit=True) as connection:
            version = _wait_for_live_version(connection, deadline)
            if version is None:
                log.info("no model is live yet: nothing to refresh. The daily training publishes the first one.")
                return 0
            # Here, not above: torch takes seconds to import, every minute, also before there is a model.
            from nearline.models.interest_model import InterestModel

            ledger = InterestLedger(connection, InterestModel.load(fetch_model(settings, version)), version)
            log.info("version %d is live and loaded", version)
            if not _lock(ledger, wait=0.0 if arguments.once else LOCK_SECONDS):
                log.info("another run refreshes version %d: nothing to do", version)
                return 0
            if _drain(ledger, deadline):
                return 0
            log.info("another version went live: following it")


def _drain(ledger: InterestLedger, deadline: float) -> bool:
    """Refresh until the deadline, and at least until nothing is unread; False: another version went live."""
    events = people = 0
    try:
        while True:
            new_events, new_people = ledger.step()
            events, people = events + new_events, people + new_people
            if new_events:
                log.info("%d events of %d people", new_events, new_people)
                continue
            if time.monotonic() > deadline:
                return True
            if _live_version(ledger.connection) != ledger.model_version:
                return False
            time.sleep(POLL_SECONDS)
    finally:
        log.info("version %d: %d events, %d vectors", ledger.model_version, events, people)


def _live_version(connection: Connection) -> int | None:
    found = connection.execute(queries("refresh")["live"]).fetchone()
    return found[0] if found else None


def _wait_for_live_version(connection: Connection, deadline: float) -> int | None:
    while (version := _live_version(connection)) is None and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return version


def _lock(ledger: InterestLedger, wait: float) -> bool:
    give_up = time.monotonic() + wait
    while not ledger.lock():
        if time.monotonic() > give_up:
            return False
        time.sleep(POLL_SECONDS)
    return True


if __name__ == "__main__":
    run_job(main)
