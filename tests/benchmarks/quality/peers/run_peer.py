"""Tune one peer on a problem folder's validation rows, learn everything, score the test rows.

Writes scores/NAME.npy and scores/NAME.json, both complete or neither. Progress on standard error. The peers ials,
sasrec and esasrec need the environment of requirements.txt beside this file, the others numpy and scipy.

python tests/benchmarks/quality/peers/run_peer.py --problem FOLDER --peer cooccurrence
python tests/benchmarks/quality/peers/run_peer.py --problem FOLDER --peer sasrec --budget 600
python tests/benchmarks/quality/peers/run_peer.py --problem FOLDER --peer sasrec --fill
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Seconds and budgets mean the same on every machine with one thread each; libraries read it when they load.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

TESTS = Path(__file__).resolve().parents[3]
# The peers' own environment has no nearline: its core needs numpy only. This file's folder is not searched, as its
# names (ease, problem) are too common.
sys.path[:1] = [str(TESTS), str(TESTS.parent / "jobs")]

from benchmarks.quality.peers.cooccurrence import Cooccurrence  # noqa: E402
from benchmarks.quality.peers.ease import Ease  # noqa: E402
from benchmarks.quality.peers.filled import filled_again  # noqa: E402
from benchmarks.quality.peers.ials import Ials  # noqa: E402
from benchmarks.quality.peers.item_knn import ItemKnn  # noqa: E402
from benchmarks.quality.peers.popularity import Popularity  # noqa: E402
from benchmarks.quality.peers.problem import Problem, read_problem  # noqa: E402
from benchmarks.quality.peers.text_mean import TextMean  # noqa: E402
from benchmarks.quality.peers.tuning import Outcome, say, tune  # noqa: E402
from nearline.errors import InputError, NearlineError  # noqa: E402

SIMPLE = {
    "popularity_7": Popularity(7.0),
    "popularity_30": Popularity(30.0),
    "cooccurrence": Cooccurrence(),
    "item_knn": ItemKnn(),
    "ease": Ease(),
    "text_mean": TextMean(),
    "ials": Ials(),
}
NEURAL = ("sasrec", "esasrec")
BUDGET = 600.0


def peer_named(name: str) -> Callable[[Problem, float], Outcome]:
    """Return what turns a problem and a budget in seconds into an outcome.

    Raises
    ------
    InputError
        If its library is not installed.
    """
    if name in SIMPLE:
        return lambda problem, budget: tune(SIMPLE[name], problem, budget)
    try:
        from benchmarks.quality.peers import esasrec, sasrec
    except ModuleNotFoundError as missing:
        raise InputError(
            f"peer: {name} needs {missing.name}, which this Python does not have. "
            "Fix: run it in an environment made from tests/benchmarks/quality/peers/requirements.txt."
        ) from missing
    return {"sasrec": sasrec.run, "esasrec": esasrec.run}[name]


def facts_of(outcome: Outcome, seconds: float, budget: float) -> dict[str, Any]:
    """What NAME.json says: ``seconds`` by the clock, ``work_seconds`` by the stopwatch that the budget is kept by."""
    return {
        "settings": outcome.settings,
        "tried": list(outcome.tried),
        "validation_ndcg": outcome.validation_ndcg,
        "seconds": round(seconds, 1),
        "work_seconds": round(outcome.work, 1),
        "budget": budget,
        "stopped_by_budget": outcome.stopped_by_budget,
        "fallback": dict(outcome.fallback),
    }


def write(folder: Path, name: str, scores: np.ndarray, facts: dict[str, Any]) -> None:
    """Write both files under other names, then rename; the json last, so that one with a json is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    draft, said = folder / f".{name}.partial.npy", folder / f".{name}.partial.json"
    try:
        np.save(draft, scores.astype(np.float32, copy=False))
        said.write_text(json.dumps(facts, indent=1) + "\n")
        (folder / f"{name}.json").unlink(missing_ok=True)
        os.replace(draft, folder / f"{name}.npy")
        os.replace(said, folder / f"{name}.json")
    finally:
        draft.unlink(missing_ok=True)
        said.unlink(missing_ok=True)


def main(argv: list[str] | None = None) -> int:
    """Run one peer; 1 with one readable line where it cannot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problem", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--peer", required=True, choices=[*SIMPLE, *NEURAL])
    parser.add_argument(
        "--budget",
        type=float,
        default=BUDGET,
        metavar="SECONDS",
        help="of the processor, for tuning and learning; twice as long by the clock at most, about",
    )
    parser.add_argument(
        "--fill", action="store_true", help="learn nothing: only choose again what rows without a history get"
    )
    wanted = parser.parse_args(argv)
    scores = wanted.problem / "scores"
    began = time.monotonic()
    try:
        if wanted.fill and isinstance(SIMPLE.get(wanted.peer), Popularity):
            raise InputError(f"peer: {wanted.peer} is a list of its own, with nothing to fill. Fix: leave out --fill.")
        run = None if wanted.fill else peer_named(wanted.peer)
        problem = read_problem(wanted.problem)
        rows = f"{len(problem.validation)} rows to choose by, {len(problem.test)} to score"
        say(f"{wanted.peer}: {len(problem.all)} events, {rows}")
        if run is None:
            filled, facts = filled_again(scores, wanted.peer, problem)
            write(scores, wanted.peer, filled, facts)
            say(f"{wanted.peer}: rows without a history filled, {facts['fallback']}")
            return 0
        outcome = run(problem, wanted.budget)
    except NearlineError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    seconds = time.monotonic() - began
    write(scores, wanted.peer, outcome.scores, facts_of(outcome, seconds, wanted.budget))
    cut_short = ", stopped by the budget" if outcome.stopped_by_budget else ""
    say(f"{wanted.peer}: validation NDCG@10 {outcome.validation_ndcg}, {seconds:.0f} s{cut_short}, {outcome.settings}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
