"""How long the behaviour model is trained: until the validation window stops improving, then once on that window too.

After each pass all is kept in a checkpoint, so that a training that was killed goes on where it was, with the same
result as if it had not been.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from nearline.core.behaviour import Ledger
from nearline.models.behaviour_training import BehaviourTrainer
from nearline.models.lessons import Lessons
from nearline.models.process_group import is_first

log = logging.getLogger("nearline.training")
Report = Callable[[dict[str, float], int], None]
Validate = Callable[[], float]


def train_behaviour_model(
    trainer: BehaviourTrainer,
    inner: Ledger,
    full: Ledger,
    fading: float,
    validate: Validate,
    choose: Callable[[], None],
    report: Report,
    checkpoint: Checkpoint,
) -> None:
    """Train on ``inner`` until ``validate`` (higher is better) stops rising, then learn ``full``, which is longer.

    Parameters
    ----------
    fading
        How much less old events count, see `nearline.core.transitions`.
    choose
        Called once with the best pass's weights in place, before ``full`` is seen: the moment to choose anything else
        on the validation window.
    report
        Called with the figures of each pass and its number.
    """
    lessons = Lessons.of(inner, fading)
    best, best_state, waited, first = -1.0, trainer.state(), 0, 0
    if (kept := checkpoint.read()) is not None:
        best, best_state, waited, first = kept["best"], kept["best_state"], kept["waited"], kept["passes"]
        trainer.restore(kept["state"])
        log.info("going on after pass %d of an earlier try", first)
    passes = first
    while passes < trainer.config.epochs and waited < trainer.config.patience:
        began = time.monotonic()
        loss = trainer.epoch(lessons)
        seconds = time.monotonic() - began
        figure = validate()
        figures = {
            "behaviour_loss": loss,
            "validation_ndcg": figure,
            "pass_seconds": seconds,
            "events_per_second": len(inner) / seconds,
        }
        if busy := trainer.gpu_utilisation:
            figures["gpu_utilisation"] = sum(busy) / len(busy)
        report(figures, passes)
        passes += 1
        if figure > best:
            best, best_state, waited = figure, trainer.state(), 0
        else:
            waited += 1
        checkpoint.write(
            {"best": best, "best_state": best_state, "waited": waited, "passes": passes, "state": trainer.state()}
        )
    trainer.restore(best_state)
    choose()
    everything = Lessons.of(full, fading)
    for group in trainer.optimiser.param_groups:
        group["lr"] /= 2
    for extra in range(trainer.config.final_epochs):
        report({"behaviour_loss": trainer.epoch(everything)}, passes + extra)
    checkpoint.remove()


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
        kept: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=False)
        return kept if kept["identity"] == self.identity else None

    def write(self, state: dict[str, Any]) -> None:
        """Keep ``state``, complete or not at all; only one process of several writes."""
        if self.path is None or not is_first():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".partial")
        torch.save({**state, "identity": self.identity}, draft)
        draft.replace(self.path)

    def remove(self) -> None:
        """Forget, when all is done."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def weights_digest(module: torch.nn.Module) -> str:
    """SHA-256 of a module's weights: of one that was just loaded the same in every process and every try."""
    digest = hashlib.sha256()
    for name, weights in module.state_dict().items():
        digest.update(name.encode())
        digest.update(weights.cpu().contiguous().numpy())
    return digest.hexdigest()
