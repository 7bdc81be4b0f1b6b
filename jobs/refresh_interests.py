"""Turn the newest events into interest vectors, for the model version that is live.

Reads what was committed since its cursor, refreshes the people concerned, and drains until its time is over, so that
Airflow pays for one task a minute and an event is in its vector within a second or two.

python jobs/refresh_interests.py --seconds 50
python jobs/refresh_interests.py --once
"""

from __future__ import annotations

import argparse
import logging
import time

from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.mlflow_registry import fetch_model
from nearline.adapters.postgres import connect, queries
from nearline.errors import run_job
from nearline.settings import Settings

log = logging.getLogger("nearline.refresh")

POLL_SECONDS = 0.2


def main(argv: list[str] | None = None) -> int:
    """Refresh once, or until the time is over or another version goes live."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=50.0, help="how long to drain (default: 50)")
    parser.add_argument("--once", action="store_true", help="stop as soon as nothing is unread")
    arguments = parser.parse_args(argv)
    deadline = time.monotonic() + arguments.seconds
    settings = Settings.from_env()
    with connect(settings, autocommit=True) as connection:
        live = connection.execute(queries("refresh")["live"]).fetchone()
        if live is None:
            log.info("no model is live yet: nothing to refresh. The daily training publishes the first one.")
            return 0
        # Here, not above: torch takes seconds to import, every minute, also before there is a model.
        from nearline.models.interest_model import InterestModel

        model = InterestModel.load(fetch_model(settings, live[0]))
        ledger = InterestLedger(connection, model, live[0])
        if not ledger.lock():
            log.info("another run refreshes version %d: nothing to do", live[0])
            return 0
        log.info("version %d is live and loaded", live[0])
        events = people = 0
        while True:
            new_events, new_people = ledger.step()
            events, people = events + new_events, people + new_people
            if new_events:
                log.info("%d events of %d people", new_events, new_people)
            elif arguments.once or time.monotonic() > deadline:
                break
            elif connection.execute(queries("refresh")["live"]).fetchone() != live:
                log.info("another version went live: the next run follows it")
                break
            else:
                time.sleep(POLL_SECONDS)
        log.info("done: %d events, %d vectors", events, people)
    return 0


if __name__ == "__main__":
    run_job(main)
