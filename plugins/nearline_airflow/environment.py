"""The settings that a DAG file needs while Airflow reads it: variables, defaults and limits as in `nearline.settings`.

Not that module itself, which brings numpy: DAG files are read every few seconds. A test compares the two.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta

START = timedelta(seconds=15)
"""From the creation of a run until its process could drain: Airflow's part, torch and the model."""
LOCK = timedelta(seconds=30)
"""How long a run that is ready waits for the one before it: LOCK_SECONDS in jobs/nearline/adapters/drain.py."""


def shards() -> int:
    """Shards into which people are divided, each with a task of its own (NEARLINE_SHARDS).

    Raises
    ------
    ValueError
        Naming the variable, the value seen and the fix; Airflow shows it as the import error of the DAG.
    """
    return _whole_number("NEARLINE_SHARDS", 1, 64, "use a number such as 2")


def time_for_a_run() -> timedelta:
    """How long a run of nearline_interests takes at most, from its creation, while it is not behind.

    Its start, the wait for the run before it, NEARLINE_DRAIN_SECONDS and NEARLINE_LAG_BUDGET. A run does not end before
    nothing is unread, so one that takes longer is behind by more than the budget.

    Raises
    ------
    ValueError
        As `shards`.
    """
    drain = _whole_number("NEARLINE_DRAIN_SECONDS", 120, 480, "use a number such as 120")
    budget = _whole_number("NEARLINE_LAG_BUDGET", 60, 3600, "use a number of seconds such as 60")
    return START + LOCK + timedelta(seconds=drain + budget)


def spark_memory() -> str | None:
    """Memory of the Spark driver and of each executor (NEARLINE_SPARK_MEMORY); None: Spark's own configuration says.

    Raises
    ------
    ValueError
        As `shards`.
    """
    value = os.environ.get("NEARLINE_SPARK_MEMORY")
    if value is not None and not re.fullmatch(r"\d+[mg]", value):
        raise ValueError(
            f"NEARLINE_SPARK_MEMORY: expected a size in m or g, such as 1g, saw {value!r}. "
            "Fix: give Spark a size such as 2g."
        )
    return value


def _whole_number(variable: str, default: int, high: int, fix: str) -> int:
    value = os.environ.get(variable, str(default))
    if not re.fullmatch(r"\d+", value) or not 1 <= int(value) <= high:
        raise ValueError(f"{variable}: expected a whole number from 1 to {high}, saw {value!r}. Fix: {fix}.")
    return int(value)
