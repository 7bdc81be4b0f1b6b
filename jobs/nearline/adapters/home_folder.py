"""The state folder: made when missing, checked before anything is written to it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from nearline.errors import StackError
from nearline.settings import Settings

MARK = "this-is-nearline-state.txt"
"""A file that says what the folder is: nothing else is ever removed by `make clean`."""

NEEDED_BYTES = 500 * 2**20
"""A new Postgres with its write-ahead log, Airflow's and MLflow's databases, and room for the first logs."""


def prepare_home(settings: Settings) -> Path:
    """Make ``settings.home`` and its logs folder, and return it.

    Raises
    ------
    StackError
        When the folder cannot be written to or the disk has less than `NEEDED_BYTES` left.
    """
    home = settings.home
    try:
        settings.logs_folder.mkdir(parents=True, exist_ok=True)
        (home / MARK).write_text("State of a Nearline on this machine. `make clean` removes this folder.\n")
        free = shutil.disk_usage(home).free
    except OSError as problem:
        raise StackError(
            f"{home}: expected a folder I may write to, saw: {problem.strerror}. "
            "Fix: make it yours, or set NEARLINE_HOME to another folder."
        ) from problem
    if free < NEEDED_BYTES:
        raise StackError(
            f"{home}: expected {NEEDED_BYTES // 2**20} MB of free disk, saw {free // 2**20} MB. "
            "Fix: make room, or set NEARLINE_HOME to a folder on another disk."
        )
    return home


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, never readable by others in between."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
