"""From ranked rows to the report: every figure with its interval, and nearline beside each peer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.quality.bootstrap import Estimate, People, between, holm, p_value
from benchmarks.quality.exposure import exposure, popularity_lift
from benchmarks.quality.problem import Candidates, Problem
from benchmarks.quality.ranked import CUTOFF, Ranked

OURS = "nearline"
SHOWN_BY = ("all", "warm", "cold", "new_users")
"""Strata whose lists are looked at, beyond how good they are."""

Judged = Mapping[str, Mapping[Candidates, Ranked]]
"""Ranked rows by model and candidates."""


@dataclass(frozen=True)
class Comparison:
    """Nearline's NDCG@10 less a peer's, on the same rows."""

    difference: Estimate
    relative: Estimate | None
    p: float


def strata_figures(problem: Problem, judged: Judged) -> dict[str, Any]:
    """Stratum -> its size, the figures of each model and the comparisons of nearline, ready for JSON.

    ``p`` is of a paired bootstrap over people, two-sided; ``p_holm`` corrects it for the number of comparisons in the
    stratum.
    """
    return {name: _stratum(problem, name, judged) for name in problem.strata}


def _stratum(problem: Problem, name: str, judged: Judged) -> dict[str, Any]:
    stratum = problem.strata[name]
    rows = stratum.rows
    people = People(problem.ledger.user[problem.test.rows[rows]], seed=problem.seed)
    candidates = problem.trained if stratum.candidates == "trained" else np.ones(len(problem.ledger.items), bool)
    gains = {model: ranked[stratum.candidates].gains() for model, ranked in judged.items()}
    models: dict[str, dict[str, Any]] = {}
    for model, ranked in judged.items():
        found: dict[str, Estimate | None] = {
            metric: people.mean(values[rows]) for metric, values in gains[model].items()
        }
        if name in SHOWN_BY and rows.any():
            lists = ranked[stratum.candidates].items[rows, :CUTOFF]
            found |= exposure(lists, candidates, people)
            found["popularity_lift"] = popularity_lift(lists, problem.test.targets[rows], problem.popularity, people)
        models[model] = {metric: estimate and estimate.as_dict() for metric, estimate in found.items()}
    return {
        "count": int(rows.sum()),
        "people": people.count,
        "candidates": stratum.candidates,
        "candidate_items": int(candidates.sum()),
        "models": models,
        "versus": _versus({model: gain["ndcg"][rows] for model, gain in gains.items()}, people),
    }


def _versus(gains: Mapping[str, np.ndarray], people: People) -> dict[str, Any]:
    if OURS not in gains or not people.count:
        return {}
    found = {peer: compare(gains[OURS], values, people) for peer, values in gains.items() if peer != OURS}
    corrected = holm({peer: comparison.p for peer, comparison in found.items()})
    return {
        peer: {
            "difference": comparison.difference.as_dict(),
            "relative": comparison.relative and comparison.relative.as_dict(),
            "p": comparison.p,
            "p_holm": corrected[peer],
        }
        for peer, comparison in found.items()
    }


def compare(ours: np.ndarray, theirs: np.ndarray, people: People) -> Comparison:
    """Difference of two means over the same rows, its interval and p, and the gain in parts of theirs.

    Equal gains on every row are no difference: p is 1.
    """
    differences = people.means(ours - theirs)
    value = float((ours - theirs).mean())
    p = p_value(differences) if np.any(ours != theirs) else 1.0
    return Comparison(between(value, differences), people.ratio(ours, theirs, less=1.0), p)
