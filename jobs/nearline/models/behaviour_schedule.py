"""How long the behaviour model is trained: until the validation window stops improving, then once on that window too.

After each pass all is kept in a checkpoint, so that a training that was killed goes on where it was, with the same
result as if it had not been.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from nearline.core.behaviour import Ledger
from nearline.models.behaviour_training import BehaviourTrainer
from nearline.models.checkpoint import Checkpoint
from nearline.models.lessons import Lessons

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

    A start that has learnt before is judged too: where no pass is better, ``full`` is learnt from there.

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
    elif trainer.met.any():  # it has learnt before, and may be as good as it gets
        best = validate()
        report({"start_ndcg": best}, 0)
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
