"""One process of a shared training on the tiny world; torchrun starts several of it, as TorchDistributor does.

python -m torch.distributed.run --standalone --nproc_per_node=2 tests/train_together.py ENCODER OUT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

import tiny_models
from nearline.core.hyperparameters import BehaviourShape, BehaviourTraining, TextTraining, TrainingPlan
from nearline.models.process_group import process_count, process_group, process_rank
from nearline.models.text_model import TextModel
from nearline.models.training import train_interest_model

# Two stretches of a step have nothing to predict now and then, and the last step has fewer stretches than processes;
# the softmax is over a sample.
PLAN = TrainingPlan(
    text=TextTraining(steps=2, batch=8),
    behaviour=BehaviourTraining(epochs=3, batch=3, average_steps=10, full_softmax_items=12),
    shape=BehaviourShape(dropout=0.0),
    history_length=5,
)


def train(encoder: Path, out: Path) -> None:
    """Leave residuals-<rank>.npy and facts-<rank>.json: the model's notes and what was reported."""
    torch.set_num_threads(1)
    reports: list[dict[str, float]] = []
    with process_group():
        data = tiny_models.training_data(tiny_models.small_world(people=20))
        report = lambda values, step: reports.append(values)  # noqa: E731
        model = train_interest_model(data, PLAN, TextModel.load(encoder), report, out / "keep")
        figures = [values["validation_ndcg"] for values in reports if "validation_ndcg" in values]
        np.save(out / f"residuals-{process_rank()}.npy", model.residuals)
        facts = {"notes": model.notes, "figures": figures, "processes": process_count()}
        (out / f"facts-{process_rank()}.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]))
