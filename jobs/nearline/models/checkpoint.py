"""How far a training is, on disk: one that was killed goes on there, with the same result as if it had not been."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch

from nearline.models.model_folder import UNREADABLE
from nearline.models.process_group import is_first

log = logging.getLogger("nearline.training")


class Checkpoint:
    """A file that holds how far a training is; one of another training is not taken.

    Parameters
    ----------
    path
        The file, or None to keep nothing.
    identity
        What makes a training the same one: its data, its settings and what it starts from.
    """

    def __init__(self, path: Path | None, identity: dict[str, Any]) -> None:
        self.path = path
        self.identity = identity

    def read(self) -> dict[str, Any] | None:
        """Read what an earlier try of the same training left, or None."""
        if self.path is None or not self.path.exists():
            return None
        try:
            kept: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=False)
            return kept if kept["identity"] == self.identity else None
        except UNREADABLE as problem:  # the machine went down before its disk had all of it, perhaps
            log.warning("beginning anew, as %s cannot be read: %r", self.path, problem)
            return None

    def write(self, state: dict[str, Any]) -> None:
        """Keep ``state``, complete or not at all; only one process of several writes."""
        if self.path is None or not is_first():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(f".{uuid4().hex}.partial")  # an earlier try may not have ended yet
        with draft.open("wb") as file:
            torch.save({**state, "identity": self.identity}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)

    def remove(self) -> None:
        """Forget, when all is done."""
        if self.path is not None:
            for path in (self.path, *self.path.parent.glob(f"{self.path.stem}.*.partial")):
                path.unlink(missing_ok=True)


def weights_digest(module: torch.nn.Module) -> str:
    """SHA-256 of a module's weights: of one that was just loaded the same in every process and every try."""
    digest = hashlib.sha256()
    for name, weights in module.state_dict().items():
        digest.update(name.encode())
        digest.update(weights.cpu().contiguous().numpy())
    return digest.hexdigest()
