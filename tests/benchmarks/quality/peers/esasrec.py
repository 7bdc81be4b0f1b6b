"""eSASRec (arXiv 2508.06450), by its authors' RecTools: SASRec's task, LiGR layers, sampled softmax of 256 negatives.

Two blocks, four heads, dropout 0.2 and a learning rate of 0.001 are the library's defaults and the recipe's; factors
and session length as for `sasrec`, so that the two differ by recipe only.
"""

from __future__ import annotations

from rectools.models.nn.transformers.ligr import LiGRLayers

from benchmarks.quality.peers.neural_tuning import tune_neural
from benchmarks.quality.peers.problem import Problem
from benchmarks.quality.peers.sasrec import SHAPE
from benchmarks.quality.peers.tuning import Outcome

RECIPE = {
    **SHAPE,
    "transformer_layers_type": LiGRLayers,
    "loss": "sampled_softmax",
    "n_negatives": 256,
}
CHOICES = [
    {**RECIPE, "lr": 0.001},
    {**RECIPE, "lr": 0.001, "dropout_rate": 0.4},
    {**RECIPE, "lr": 0.002},
]


def run(problem: Problem, budget: float) -> Outcome:
    """Tune and score within ``budget`` seconds."""
    return tune_neural(problem, CHOICES, budget)
