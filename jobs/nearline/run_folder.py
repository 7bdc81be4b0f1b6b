"""The folder of one daily run: what its jobs leave for one another."""

from __future__ import annotations

import json
import re

from nearline.errors import InputError
from nearline.settings import Settings


class RunFolder:
    """Paths of a daily run, below ``settings.runs_folder``.

    Raises
    ------
    InputError
        When the name would not be a plain folder name.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,200}", name):
            raise InputError(
                f"--run: expected letters, digits and . _ + -, saw {name!r}. Fix: use a date such as 2026-11-21."
            )
        self.name = name
        self.path = settings.runs_folder / name
        #: Parquet folders and ``snapshot.json`` of take_snapshot.
        self.snapshot = self.path / "snapshot"
        #: Parquet folders of pair_items.
        self.pairs = self.path / "pairs"
        #: The candidate, see `nearline.models.interest_model`.
        self.model = self.path / "model"
        #: What judge found, with its decision.
        self.judgement = self.path / "judgement.json"
        #: What register got from MLflow.
        self.registered = self.path / "registered.json"

    @property
    def version(self) -> int:
        """Version number of the candidate in the MLflow registry."""
        if not self.registered.exists():
            raise InputError(
                f"{self.registered}: expected the result of register, saw no file. Fix: run register first."
            )
        return int(json.loads(self.registered.read_text())["version"])
