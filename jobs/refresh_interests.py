"""Turn the newest events into interest vectors, for the model version that is live.

Reads what was committed since its cursor, refreshes the people concerned, and drains until the next run takes over, so
that Airflow pays for one task a minute and an event is in its vector within a second or two. The next run loads its
models first, says that it is ready, and has the lock a moment later: there is no gap between the two.

python jobs/refresh_interests.py                      drain for NEARLINE_DRAIN_SECONDS
python jobs/refresh_interests.py --once               until nothing is unread
python jobs/refresh_interests.py --shard 1 --of 4     one shard of the people, of so many
python jobs/refresh_interests.py --rebuild            compute everybody's vector anew; also --users u1,u2 or --since
"""

from __future__ import annotations

import argparse
import logging
import signal
import time
from dataclasses import replace
from datetime import UTC, datetime

import psutil
import psycopg

from nearline.adapters.drain import LOCK_SECONDS, Drain
from nearline.adapters.history_reader import Encoder
from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import connect, queries
from nearline.adapters.registered_model import fetch_model
from nearline.adapters.shard import ShardsChanged
from nearline.adapters.stop import Stop
from nearline.adapters.version_tables import take_version
from nearline.errors import DatabaseError, DatabaseUnreachable, InputError, run_job
from nearline.settings import Settings

log = logging.getLogger("nearline.refresh")


def main(argv: list[str] | None = None) -> int:
    """Drain, or replay; 0 also when another run is at it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="how long to drain (default: NEARLINE_DRAIN_SECONDS)")
    parser.add_argument("--once", action="store_true", help="stop as soon as nothing is unread")
    parser.add_argument("--shard", type=int, default=0, help="which shard of the people, from 0")
    parser.add_argument("--of", type=int, help="how many shards there are (default: NEARLINE_SHARDS)")
    parser.add_argument("--rebuild", action="store_true", help="compute all vectors of the live version anew")
    parser.add_argument("--users", help="compute the vectors of some people anew: ids with commas between")
    parser.add_argument("--since", help="compute those of people with events since a time such as 2026-11-01")
    arguments = parser.parse_args(argv)
    settings = Settings.from_env()
    if arguments.of is not None:  # of Airflow: a worker's own setting may be another than the DAG processor's
        if not 1 <= arguments.of <= 64:
            raise InputError(f"--of: expected 1 to 64, saw {arguments.of}.")
        settings = replace(settings, shards=arguments.of)
    if not 0 <= arguments.shard < settings.shards:
        raise InputError(
            f"--shard: expected 0 to {settings.shards - 1}, as there are {settings.shards} shards (--of, else "
            f"NEARLINE_SHARDS), saw {arguments.shard}."
        )
    if arguments.rebuild or arguments.users or arguments.since:
        return _replay(settings, arguments.users.split(",") if arguments.users else None, _time(arguments.since))

    stop = Stop.on_signals(signal.SIGTERM, signal.SIGINT)  # Airflow ends a task with the first
    began, began_at = time.monotonic(), datetime.now(UTC)
    seconds = settings.drain_seconds if arguments.seconds is None else arguments.seconds
    drain = Drain(
        settings,
        lambda version: _load(settings, version),
        deadline=began + (0.0 if arguments.once else seconds),
        stop=stop,
        shard=arguments.shard,
        shard_count=settings.shards,
        wait_for_lock=0.0 if arguments.once else LOCK_SECONDS,
    )
    drain.run()
    _sum_up(settings, drain, began, began_at)
    return 0


def _load(settings: Settings, version: int) -> Encoder:
    # Here, not above: torch takes seconds to import, every minute, also before there is a model.
    from nearline.models.served_model import ServedModel

    with connect(settings, autocommit=True) as connection:
        origin = connection.execute(queries("publish")["origin"], {"model_version": version}).fetchone()
    model = ServedModel(fetch_model(settings, version, origin[0] if origin else ""))
    model.load_text_model()
    return model


def _replay(settings: Settings, users: list[str] | None, since: datetime | None) -> int:
    try:
        with connect(settings, autocommit=True) as connection:
            live = connection.execute(queries("refresh")["live"]).fetchone()
            if live is None:
                raise DatabaseError("No model is live: there is nothing to replay. Fix: run the daily training first.")
            model, people = _load(settings, live[0]), 0
            beyond = connection.execute(queries("refresh")["beyond_this_server"]).fetchone()
            if users is None and since is None and beyond != (None,):
                take_version(connection, live[0], patience=LOCK_SECONDS)
                people = InterestLedger(connection, model, live[0]).rebuild()  # adopts the ledger
            else:
                # As the people are divided now, whatever NEARLINE_SHARDS is here: others are at work on them.
                found = connection.execute(queries("refresh")["shard_count"], {"model_version": live[0]}).fetchone()
                shards = found[0] if found else 1
                for shard in range(shards):
                    people += InterestLedger(connection, model, live[0], shard, shards).replay(users, since)
    except psycopg.OperationalError as problem:
        raise DatabaseUnreachable(
            f"Postgres went away: {str(problem).splitlines()[0]}. Fix: start the replay again, it may be done twice."
        ) from None
    except ShardsChanged:
        raise DatabaseError(
            "The people were divided anew (NEARLINE_SHARDS) meanwhile. Fix: start the replay again."
        ) from None
    log.info("version %d: the vectors of %d people were computed anew", live[0], people)
    return 0


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"--since: expected a time such as 2026-11-01 or 2026-11-01T10:00Z, saw {text!r}.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _sum_up(settings: Settings, drain: Drain, began: float, began_at: datetime) -> None:
    """A run's three lines: what it did, how late the vectors were, what it took."""
    log.info(
        "shard %d of %d: %d events of %d people in %d batches",
        drain.shard, drain.shard_count, drain.events, drain.people, drain.batches,
    )  # fmt: skip
    try:
        with connect(settings, autocommit=True) as connection:
            found = connection.execute(
                queries("refresh")["run_summary"], {"shard": drain.shard, "since": began_at}
            ).fetchone()
    except (psycopg.Error, DatabaseError) as problem:
        log.warning("lag: not known, Postgres is away (%s)", str(problem).splitlines()[0])
    else:
        if found is None or found[0] is None:
            log.info("lag: no event came")
        else:
            log.info("lag: p50 %.0f ms, p95 %.0f ms, longest %.0f ms; unread now: %d events", *found)
    seconds, memory = time.monotonic() - began, psutil.Process().memory_info().rss / 2**20
    log.info("took %.0f s, of them busy %.1f s; %.0f MiB of memory", seconds, drain.busy_seconds, memory)


if __name__ == "__main__":
    run_job(main)
