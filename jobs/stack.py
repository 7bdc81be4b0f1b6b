"""Start, stop or look at the local servers: Postgres, MLflow and Airflow.

Example: python jobs/stack.py up
"""

from __future__ import annotations

import argparse
import shutil

from nearline.adapters import local_stack, stack_status
from nearline.adapters.home_folder import MARK
from nearline.errors import StackError, run_job
from nearline.settings import Settings


def main(argv: list[str] | None = None) -> int:
    """Run the command; 1 when a part is down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("up", "down", "status", "clean"), help="clean: down, then remove the state")
    command = parser.parse_args(argv).command
    settings = Settings.from_env()
    if command == "up":
        local_stack.up(settings)
    elif command == "status":
        parts = stack_status.status(settings)
        print(stack_status.status_table(parts))
        return 0 if all(part.is_up for part in parts) else 1
    else:
        local_stack.down(settings)
        if command == "clean":
            _remove(settings)
    return 0


def _remove(settings: Settings) -> None:
    home = settings.home
    if not home.exists():
        return
    # A mistyped NEARLINE_HOME must not cost someone their files.
    if not (home / MARK).exists():
        raise StackError(f"{home}: expected {MARK} in a state folder of Nearline, saw none. Fix: remove it yourself.")
    shutil.rmtree(home)
    print(f"Removed {home}.")


if __name__ == "__main__":
    run_job(main)
