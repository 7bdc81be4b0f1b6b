"""Settings and epochs of a neural peer within a budget: a short race, then the winner to its best epoch, then all data.

A learning rate, a loss or a dropout shows early; the number of epochs does not. So the settings get equal shares of
half of the race, the better two equal shares of the other half, the best one goes on until validation falls, and a new
model learns all events for that many epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.quality.peers.fallback import Fallback, choose_fallback
from benchmarks.quality.peers.neural_model import NeuralModel
from benchmarks.quality.peers.problem import Problem
from benchmarks.quality.peers.tuning import Outcome, Settings, say, stopwatch

RACE_SHARE = 0.3
"""Of the budget, for both halves of the race."""
STEP_SHARE = 0.02
"""Of the budget, between two looks at validation, and at least one epoch."""
PATIENCE = 3
"""Looks without a better figure before the best epoch counts as found."""


@dataclass
class Runner:
    """One setting in training on the inner events.

    Attributes
    ----------
    seen
        Epochs and NDCG@10 of every look at validation.
    learning_seconds
        Time spent on epochs alone.
    """

    problem: Problem
    settings: Settings
    fallback: Fallback
    seen: list[tuple[int, float]] = field(default_factory=list)
    learning_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.model = NeuralModel(self.problem.inner, self.settings)

    @property
    def best(self) -> tuple[int, float]:
        """Epochs and figure of the best look; the earliest of equals."""
        return max(self.seen, key=lambda look: look[1])

    @property
    def looks_since_best(self) -> int:
        """How many looks ago that was."""
        return len(self.seen) - 1 - self.seen.index(self.best)

    @property
    def epoch_seconds(self) -> float:
        """Mean time of an epoch, 0 before the first."""
        return self.learning_seconds / max(self.model.epochs, 1)

    def step(self, seconds: float) -> None:
        """Learn for about so long, at least one epoch, and look at validation."""
        spent = stopwatch()
        self.model.learn(max(1, round(seconds / self.epoch_seconds)) if self.epoch_seconds else 1)
        self.learning_seconds += spent()
        problem = self.problem
        scores = self.model.score(problem.validation)
        self.fallback.fill(scores, problem, problem.inner, problem.validation)
        self.seen.append((self.model.epochs, problem.validation_ndcg(scores)))
        epoch = f"epoch {self.model.epochs} ({self.epoch_seconds:.1f} s each)"
        say(f"{epoch}: {self.seen[-1][1]} with {told(self.settings)}")


def tune_neural(problem: Problem, choices: Sequence[Settings], budget: float) -> Outcome:
    """Race the choices, find the winner's best epoch, learn all events so long, score the test rows.

    Parameters
    ----------
    budget
        Seconds of `stopwatch` for everything, kept to about a step. ``stopped_by_budget`` says that
        it ended before the patience did.
    """
    spent = stopwatch()
    fallback = choose_fallback(problem)
    runners = [Runner(problem, settings, fallback) for settings in choices]
    left = runners
    for kept in (2, 1):
        for runner in left:
            start = spent()
            while not runner.seen or spent() - start < budget * RACE_SHARE / 2 / len(left):
                runner.step(budget * STEP_SHARE)
        left = sorted(left, key=lambda runner: -runner.best[1])[:kept]
    winner = left[0]
    say(f"goes on: {told(winner.settings)}")
    growth = len(problem.all) / max(len(problem.inner), 1)
    cut_short = False
    while winner.looks_since_best < PATIENCE and not cut_short:
        step = max(budget * STEP_SHARE, winner.epoch_seconds)
        # The best epoch may be the next: learning all events for as long must still fit.
        again = growth * (winner.learning_seconds + step)
        if spent() + 1.3 * step + again > budget:
            cut_short = True
        else:
            winner.step(step)
    epochs, ndcg = winner.best
    say(f"learning all events for {epochs} epochs after {spent():.0f} s")
    final = NeuralModel(problem.all, winner.settings)
    final.learn(epochs)
    scores = fallback.fill(final.score(problem.test), problem, problem.all, problem.test)
    tried = [{**told(runner.settings), "seen": runner.seen, "ndcg": runner.best[1]} for runner in runners]
    chosen = {**told(winner.settings), "epochs": epochs}
    return Outcome(scores, chosen, ndcg, tried, cut_short, fallback.facts(), spent())


def told(settings: Settings) -> dict[str, Any]:
    """Settings as JSON can say them: a class by its name."""
    return {name: value.__name__ if isinstance(value, type) else value for name, value in settings.items()}
