"""Deploy the schema and the functions of sql/ to Postgres.

python jobs/migrate.py
"""

from __future__ import annotations

import argparse

from nearline.adapters import embedded_postgres
from nearline.adapters.migrations import deploy
from nearline.errors import run_job
from nearline.settings import Settings


def main(argv: list[str] | None = None) -> int:
    """Start the embedded Postgres where no other is named, then deploy."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(argv)
    settings = Settings.from_env()
    if settings.dsn is None:
        embedded_postgres.start(settings)
    ran = deploy(settings)
    print(f"{len(ran)} migrations ran, functions are up to date")
    return 0


if __name__ == "__main__":
    run_job(main)
