"""Generate the built-in world: a catalogue, people with tastes, and what they did, as Parquet files to ingest.

python jobs/make_world.py --out /tmp/world --people 500 --items 600 --days 60 --seed 7
"""

from __future__ import annotations

import argparse
import logging
from datetime import UTC, datetime
from pathlib import Path

from nearline.adapters.canonical_parquet import write_canonical
from nearline.core.world import World
from nearline.errors import InputError, run_job
from nearline.settings import Settings

log = logging.getLogger("nearline.make_world")


def main(argv: list[str] | None = None) -> int:
    """Write ``items.parquet`` and ``events.parquet`` into the folder ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--people", type=int, default=500, help="how many people (500)")
    parser.add_argument("--items", type=int, default=600, help="how many items (600)")
    parser.add_argument("--days", type=int, default=60, help="days of history (60)")
    parser.add_argument("--seed", type=int, help="the same seed gives the same world (NEARLINE_SEED)")
    parser.add_argument("--until", help="end of the history, an ISO time with zone (the start of this hour)")
    arguments = parser.parse_args(argv)
    seed = Settings.from_env().seed if arguments.seed is None else arguments.seed
    try:
        until = datetime.fromisoformat(arguments.until) if arguments.until else datetime.now(UTC)
    except ValueError:
        raise InputError(f"--until: expected a time such as 2026-03-01T00:00:00Z, saw {arguments.until!r}.") from None
    if not arguments.until:
        until = until.replace(minute=0, second=0, microsecond=0)
    world = World(people=arguments.people, items=arguments.items, days=arguments.days, seed=seed, until=until)
    events = world.event_columns()
    write_canonical(arguments.out, world.items(), events)
    log.info(
        "%s: %d items, %d people, %d events", arguments.out, arguments.items, arguments.people, len(events["kind"])
    )
    return 0


if __name__ == "__main__":
    run_job(main)
