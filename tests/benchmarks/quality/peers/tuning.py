"""Choosing a peer's settings on validation: every peer gets a grid, the same figure and all the data at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, ClassVar, Protocol

import numpy as np

from benchmarks.quality.peers.fallback import Fallback, choose_fallback
from benchmarks.quality.peers.popularity import Popularity
from benchmarks.quality.peers.problem import Events, Problem, Rows

Settings = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What a peer says of the test rows, and how it came to that.

    Attributes
    ----------
    scores
        float32 (n_test, items).
    settings, validation_ndcg
        What was chosen, and its figure on the validation rows.
    tried
        Every setting with its figure.
    stopped_by_budget
        Whether the time ended while something was left to try, or before the figure had stopped to rise.
    fallback
        What rows without a history got.
    work
        Seconds of `stopwatch` that all this took.
    """

    scores: np.ndarray
    settings: Settings
    validation_ndcg: float
    tried: Sequence[Mapping[str, Any]] = field(default_factory=list)
    stopped_by_budget: bool = False
    fallback: Mapping[str, Any] = field(default_factory=dict)
    work: float = 0.0


class GridPeer(Protocol):
    """A peer with settings that change what it learns, and settings that change only how it scores."""

    LEARNING: ClassVar[dict[str, list[Any]]]
    SCORING: ClassVar[dict[str, list[Any]]]

    def learn(self, problem: Problem, events: Events, settings: Settings) -> Any:
        """Whatever `score` needs."""

    def score(self, learned: Any, rows: Rows, settings: Settings) -> np.ndarray:
        """Scores, float32 (n, items), each row from its own history."""


def grid(choices: Mapping[str, Sequence[Any]]) -> list[Settings]:
    """Every combination, the first choices first.

    >>> grid({"a": [1, 2], "b": [3]})
    [{'a': 1, 'b': 3}, {'a': 2, 'b': 3}]
    """
    return [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]


def tune(peer: GridPeer, problem: Problem, budget: float) -> Outcome:
    """Try the grid on the inner events, learn all events with the best settings, score the test rows.

    A learning setting is left out where the slowest so far says that the time (``budget``, seconds of `stopwatch`)
    would not also do for the last learning.
    """
    spent, slowest, cut_short = stopwatch(), 0.0, False
    fallback = Fallback(peer.days) if isinstance(peer, Popularity) else choose_fallback(problem)
    tried: list[dict[str, Any]] = []
    for learning in grid(peer.LEARNING):
        if tried and spent() + 2.5 * slowest > budget:
            cut_short = True
            break
        start = spent()
        learned = peer.learn(problem, problem.inner, learning)
        for scoring in grid(peer.SCORING):
            scores = peer.score(learned, problem.validation, scoring)
            fallback.fill(scores, problem, problem.inner, problem.validation)
            tried.append({**learning, **scoring, "ndcg": problem.validation_ndcg(scores)})
        slowest = max(slowest, spent() - start)
        say(f"{tried[-1]} after {spent():.0f} s")
    best = max(tried, key=lambda entry: entry["ndcg"])
    settings = {name: value for name, value in best.items() if name != "ndcg"}
    say(f"best {best}; learning all events")
    learned = peer.learn(problem, problem.all, settings)
    scores = fallback.fill(peer.score(learned, problem.test, settings), problem, problem.all, problem.test)
    return Outcome(scores, settings, best["ndcg"], tried, cut_short, fallback.facts(), spent())


def stopwatch() -> Callable[[], float]:
    """Seconds of work since now: of the processor, or half of the wall clock's where that is more.

    What else a machine has to do must not make a peer weaker, but a peer may not take forever either.
    """
    wall, work = time.monotonic(), time.process_time()
    return lambda: max(time.process_time() - work, (time.monotonic() - wall) / 2.0)


def say(message: str) -> None:
    """One line of progress on standard error."""
    print(f"{time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)
