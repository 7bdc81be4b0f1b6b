"""Scores that are there, with what a new run would give the rows without a history."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.peers.fallback import choose_fallback
from benchmarks.quality.peers.problem import Problem
from nearline.errors import InputError

FIRST_DAYS = 30.0
"""The fallback of scores that do not say theirs."""


def filled_again(folder: Path, name: str, problem: Problem) -> tuple[np.ndarray, dict[str, Any]]:
    """Scores, float32 (n_test, items), and facts of ``folder`` with the fallback chosen again; nothing is learned.

    Rows without a history get the fallback whatever was learned. Nor would a new run choose other settings with it:
    it adds the same to every figure on the validation rows. Those figures stay as they were seen, and the facts say
    with which fallback (``chosen_with_days``) and by which code (``learned_by``; None where that was not said yet). So
    the scores are those of a new run, as far as a budget in seconds lets two runs be equal.

    Raises
    ------
    InputError
        When there are no scores of this problem.
    """
    try:
        facts: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
        scores = np.load(folder / f"{name}.npy", allow_pickle=False)
    except FileNotFoundError as missing:
        raise InputError(f"{missing.filename}: expected scores to fill, saw none. Fix: leave out --fill.") from missing
    current = json.loads((folder.parent / "problem.json").read_text()).get("digest")
    if facts.get("problem") != current or scores.shape != (len(problem.test), problem.all.items):
        raise InputError(f"{folder / name}: expected scores of this problem, saw another's. Fix: leave out --fill.")
    fallback, before = choose_fallback(problem), facts.get("fallback", {})
    facts["fallback"] = {
        **fallback.facts(),
        "chosen_with_days": before.get("chosen_with_days", before.get("days", FIRST_DAYS)),
    }
    facts["learned_by"] = facts["learned_by"] if "learned_by" in facts else facts.get("code")
    return fallback.fill(scores, problem, problem.all, problem.test), facts
