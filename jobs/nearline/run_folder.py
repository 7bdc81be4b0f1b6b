"""The folder of one daily run: what its jobs leave for one another."""

from __future__ import annotations

import argparse
import json
import re

from nearline.errors import InputError
from nearline.settings import Settings

NAME = "name of a folder in NEARLINE_HOME/runs"


class RunFolder:
    """Paths of a daily run, below ``settings.runs_folder``.

    Raises
    ------
    InputError
        When the name would not be a plain folder name.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_~][A-Za-z0-9._~+-]{0,200}", name):
            raise InputError(f"--run: expected letters, digits and . _ ~ + -, saw {name!r}. Fix: give the {NAME}.")
        self.settings = settings
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

    @classmethod
    def from_arguments(cls, doc: str | None, argv: list[str] | None) -> RunFolder:
        """The one that a job's ``--run`` names; ``doc`` is the job's help."""
        parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--run", required=True, help=NAME)
        arguments = parser.parse_args(argv)
        return cls(Settings.from_env(), arguments.run)

    @property
    def version(self) -> int:
        """Version number of the candidate in the MLflow registry."""
        if not self.registered.exists():
            raise InputError(
                f"{self.registered}: expected the result of register, saw no file. Fix: run register first."
            )
        return int(json.loads(self.registered.read_text())["version"])
