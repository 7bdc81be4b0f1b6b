"""The figures of a training on their way to MLflow: while it is away they wait, and the training goes on."""

from __future__ import annotations

import logging
import time
from collections import deque

from nearline.adapters.training_run import TrainingRun
from nearline.errors import StackError

log = logging.getLogger("nearline.training")

PAUSE = 60.0
"""Seconds until an MLflow that was away is asked again: one that hangs takes all of a request's time limit."""


class TrainingFigures:
    """Figures for one MLflow run."""

    def __init__(self, run: TrainingRun, pause: float = PAUSE) -> None:
        self.run = run
        self.pause = pause
        self.waiting: deque[tuple[dict[str, float], int]] = deque()
        self.ask_at = 0.0

    def log(self, figures: dict[str, float], step: int) -> None:
        """Log figures of a step, after those that wait; what waits when the training ends is lost."""
        self.waiting.append((figures, step))
        if time.monotonic() < self.ask_at:
            return
        try:
            while self.waiting:
                self.run.log_metrics(*self.waiting[0])
                self.waiting.popleft()
            self.ask_at = 0.0
        except StackError as problem:
            if not self.ask_at:
                log.warning("the training goes on, its figures wait: %s", problem)
            self.ask_at = time.monotonic() + self.pause
