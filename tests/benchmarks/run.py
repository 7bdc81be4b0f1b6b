"""Run the benchmarks: one JSON object a figure on standard output and in the state folder, progress on standard error.

python tests/benchmarks/run.py
python tests/benchmarks/run.py recording encode
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from figure import report  # noqa: E402

from nearline.adapters import embedded_postgres, migrations  # noqa: E402
from nearline.errors import InputError, run_job  # noqa: E402
from nearline.settings import Settings  # noqa: E402

TARGETS = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))


def main(argv: list[str] | None = None) -> int:
    """Run the named targets, each on a fresh database of its own; 0 also when a figure misses its target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help=f"some of {', '.join(TARGETS)} (default: all)")
    wanted = parser.parse_args(argv).targets or TARGETS
    if unknown := set(wanted) - set(TARGETS):
        raise InputError(f"BENCH: expected some of {', '.join(TARGETS)}, saw {', '.join(sorted(unknown))}.")
    logging.getLogger().setLevel(logging.WARNING)
    results = Settings.from_env().bench_folder
    for target in wanted:
        began = time.monotonic()
        print(f"{target} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="nearline-bench-", ignore_cleanup_errors=True) as home:
            settings = Settings(home=Path(home))
            embedded_postgres.start(settings)
            try:
                migrations.deploy(settings)
                report(target, list(importlib.import_module(f"bench_{target}").measure(settings)), results)
            finally:
                embedded_postgres.stop(settings)
        print(f"{target} took {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    run_job(main)
