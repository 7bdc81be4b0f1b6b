"""The plan of a training, from the settings: the daily run's, the search's and the benchmarks' alike."""

from __future__ import annotations

from nearline.core.hyperparameters import BehaviourTraining, TextTraining, TrainingPlan
from nearline.settings import Settings


def training_plan(settings: Settings) -> TrainingPlan:
    """How much, and with what: steps, epochs, seed and history length, and the hyperparameters that are changed."""
    plan = TrainingPlan(
        text=TextTraining(steps=settings.text_steps, seed=settings.seed),
        behaviour=BehaviourTraining(epochs=settings.epochs, seed=settings.seed),
        history_length=settings.history_length,
    )
    return plan.changed(settings.hyperparameters or {})
