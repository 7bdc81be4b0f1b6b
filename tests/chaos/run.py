"""Run random schedules of faults: one JSON line for each that failed and one in all, progress on standard error.

python tests/chaos/run.py --schedules 500 --seed 7
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "jobs"), str(HERE.parent)]

from chaos.processes import ForkServer  # noqa: E402
from chaos.schedules import Outcome, compose, play  # noqa: E402
from chaos.shop import Server  # noqa: E402
from nearline.errors import run_job  # noqa: E402
from nearline.settings import Settings  # noqa: E402

COUNTS = (
    "schedules",
    "failed",
    "accepted",
    "lost",
    "doubled",
    "stale",
    "orphans",
    "read_again",
    "measured",
    "retries",
    "samples",
)


def main(argv: list[str] | None = None) -> int:
    """0 where nothing was lost, doubled, stale or left behind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=500)
    parser.add_argument("--seed", type=int, help="of the first one, the next has the next (default: the time)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start none after so many")
    arguments = parser.parse_args(argv)
    for noisy in ("psycopg", "nearline.migrations"):  # a rollback that fails on a dead connection is meant
        logging.getLogger(noisy).setLevel(logging.ERROR)
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    began, total = time.monotonic(), dict.fromkeys(COUNTS, 0)
    errors: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="nearline-chaos-", ignore_cleanup_errors=True) as folder:
        forks, server = ForkServer(Path(folder)), Server(Settings(home=Path(folder) / "home"))
        try:
            for number in range(arguments.schedules):
                if time.monotonic() > began + 60 * arguments.minutes:
                    break
                outcome = play(compose(seed + number), server, forks)
                _add(total, outcome)
                errors.update(_sort(error) for error in outcome.errors)
                if outcome.findings.problems:
                    print(json.dumps({"seed": seed + number, "problems": outcome.findings.problems,
                                      "schedule": str(outcome.schedule)}), flush=True)  # fmt: skip
                if (number + 1) % 10 == 0:
                    print(f"{number + 1} schedules, {total['failed']} failed", file=sys.stderr, flush=True)
        finally:
            forks.close()
            server.close()
    print(
        json.dumps({"seed": seed, **total, "run_errors": errors, "seconds": round(time.monotonic() - began)}),
        flush=True,
    )
    return 1 if total["failed"] else 0


def _add(total: dict[str, int], outcome: Outcome) -> None:
    found = outcome.findings
    total["schedules"] += 1
    total["failed"] += bool(found.problems)
    for name in COUNTS[2:]:
        total[name] += getattr(found if hasattr(found, name) else outcome, name)


def _sort(error: str) -> str:
    """An error without the names and numbers in it."""
    return re.sub(r"\s+", " ", re.sub(r"/\S+|\w*\d\w*", "", error))[:80]


if __name__ == "__main__":
    run_job(main)
