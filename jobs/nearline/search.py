"""A search over hyperparameters of the behaviour model: which to try next, and which to give up on.

Optuna's tree-structured Parzen estimator proposes, after some that are random; a trial that does worse after a pass
than the median of those before it is given up. What is set now is the first trial: it is what others are compared to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from nearline.core.hyperparameters import TrainingPlan

SPACE: dict[str, BaseDistribution] = {
    "behaviour.batch": CategoricalDistribution((8, 16, 32, 64)),
    "behaviour.learning_rate": FloatDistribution(3e-4, 3e-3, log=True),
    "behaviour.projection_rate": FloatDistribution(0.05, 1.0, log=True),
    "behaviour.residual_rate": FloatDistribution(1.0, 20.0, log=True),
    "behaviour.weight_decay": FloatDistribution(1e-3, 1.0, log=True),
    "behaviour.residual_dropout": FloatDistribution(0.0, 0.6),
    "behaviour.average_steps": IntDistribution(50, 1000, log=True),
    "shape.layers": IntDistribution(1, 4),
    "shape.heads": CategoricalDistribution((2, 4, 6)),
    "shape.dropout": FloatDistribution(0.0, 0.5),
    "shape.block": CategoricalDistribution(("gpt2", "llama")),
}
"""What is searched, by the names of `nearline.core.hyperparameters`."""
UNPRUNED_PASSES = 2
"""A small learning rate begins slowly."""


@dataclass
class Trial:
    """One set of values, and how far it is."""

    plan: TrainingPlan
    asked: optuna.trial.Trial
    best: float = -1.0
    passes: int = 0

    @property
    def number(self) -> int:
        """From 0, which is what is set now."""
        return self.asked.number


class Search:
    """One search; the same seed and figures propose the same values.

    Parameters
    ----------
    plan
        What is set now. A value of it that lies outside the space is kept, and not searched.
    """

    def __init__(self, plan: TrainingPlan, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.plan = plan
        now = plan.named()
        self.space = {name: values for name, values in SPACE.items() if _holds(values, now[name])}
        self.study = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=seed),
            pruner=optuna.pruners.MedianPruner(n_warmup_steps=UNPRUNED_PASSES),
        )
        self.study.enqueue_trial({name: now[name] for name in self.space})
        self.finished: dict[int, Trial] = {}

    def next(self) -> Trial:
        """Propose a trial."""
        asked = self.study.ask(self.space)
        values = self.plan.named() if asked.number == 0 else asked.params
        return Trial(self.plan.changed({name: _short(values[name]) for name in self.space}), asked)

    def go_on(self, trial: Trial, figure: float) -> bool:
        """Take the figure of a pass, higher is better; whether another one is worth it."""
        trial.best = max(trial.best, figure)
        trial.asked.report(figure, trial.passes)
        trial.passes += 1
        return not trial.asked.should_prune()

    def finish(self, trial: Trial, *, given_up: bool = False) -> None:
        """Take a trial's best pass as its figure, unless it was given up."""
        if given_up:
            self.study.tell(trial.asked, state=TrialState.PRUNED)
            return
        self.study.tell(trial.asked, trial.best)
        self.finished[trial.number] = trial

    def fail(self, trial: Trial) -> None:
        """Note that a trial broke, as by a learning rate that is too high."""
        self.study.tell(trial.asked, state=TrialState.FAIL)

    @property
    def best(self) -> Trial:
        """The best finished trial; of equals the first."""
        return max(self.finished.values(), key=lambda trial: trial.best)


def changes(plan: TrainingPlan) -> Mapping[str, Any]:
    """What differs from the defaults among hyperparameters: the value of NEARLINE_HYPERPARAMETERS for this plan."""
    defaults = TrainingPlan().named()
    return {name: value for name, value in plan.tunable().items() if value != defaults[name]}


def _holds(values: BaseDistribution, value: Any) -> bool:
    if isinstance(values, CategoricalDistribution):
        return value in values.choices
    return isinstance(values, FloatDistribution | IntDistribution) and values.low <= value <= values.high


def _short(value: Any) -> Any:
    """Three digits: a person will copy it, and no model is better for the fourth."""
    return float(f"{value:.3g}") if isinstance(value, float) else value
