"""SASRec (Kang, McAuley 2018, arXiv 1808.09781) by RecTools: self-attention over the newest 50 events.

The original loss with one negative is known to be a weak peer (arXiv 2308.07192), so full softmax, sampled softmax
and gBCE race. Sizes as in the paper's successors; batches of 32 as more steps come from the same seconds on a CPU.
"""

from __future__ import annotations

from benchmarks.quality.peers.neural_tuning import tune_neural
from benchmarks.quality.peers.problem import Problem
from benchmarks.quality.peers.tuning import Outcome

SHAPE = {"n_factors": 128, "n_blocks": 2, "n_heads": 4, "dropout_rate": 0.2, "batch_size": 32}
CHOICES = [
    {**SHAPE, "loss": "softmax", "lr": 0.001},
    {**SHAPE, "loss": "sampled_softmax", "n_negatives": 256, "lr": 0.001},
    {**SHAPE, "loss": "gBCE", "n_negatives": 256, "gbce_t": 0.75, "lr": 0.001},
]


def run(problem: Problem, budget: float) -> Outcome:
    """Tune and score within ``budget`` seconds."""
    return tune_neural(problem, CHOICES, budget)
