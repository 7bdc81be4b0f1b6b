"""How far Nearline's figures hang on the chance in its training: the same training with other seeds."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import mean, stdev
from typing import Any

from benchmarks.quality.problem import Candidates, Problem
from benchmarks.quality.ranked import Ranked


def scores_name(seed: int) -> str:
    """Name of the scores of a training with a seed of its own."""
    return f"nearline-seed{seed}"


def seed_figures(
    problem: Problem,
    trained: Mapping[int, Mapping[Candidates, Ranked]],
    peers: Mapping[str, Mapping[Candidates, Ranked]],
) -> dict[str, Any]:
    """Stratum -> NDCG@10 by training seed, its mean and standard deviation, and each one's gain over the best peer.

    Parameters
    ----------
    trained
        Nearline's ranked rows by training seed, of two at least.
    peers
        The other models' by name; ``gain`` is relative, None where there are no peers or the best of them has 0.
    """
    found = {}
    for name, stratum in problem.strata.items():
        if not stratum.rows.any():
            continue

        def ndcg(ranked: Mapping[Candidates, Ranked], rows: Any = stratum.rows, of: Any = stratum.candidates) -> float:
            return float(ranked[of].gains()["ndcg"][rows].mean())

        best = max(map(ndcg, peers.values()), default=0.0)
        values = {seed: ndcg(ranked) for seed, ranked in trained.items()}
        found[name] = {
            "ndcg": values,
            "mean": mean(values.values()),
            "deviation": stdev(values.values()),
            "gain": {seed: value / best - 1 if best else None for seed, value in values.items()},
        }
    return found
