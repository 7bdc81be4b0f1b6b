"""How good are the recommendations, beside peers, on one data set: report.json, predictions.parquet, plots, MLflow.

Figures go to standard output, one JSON object each; progress and a table to standard error. Scores that are there for
the same problem are taken as they are.

make bench-quality DATA=folder PEERS=none
python tests/benchmarks/quality/run_quality.py --data folder --peers cooccurrence,ease --protocol loo
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

if not __package__:  # run, not imported
    sys.path[:1] = [str(Path(__file__).resolve().parents[2])]  # not this folder: its names are common ones

from benchmarks.figure import report as publish
from benchmarks.quality import contestants, plots, predictions, problem_folder, ranked, tracking
from benchmarks.quality.data import QualityData
from benchmarks.quality.figures import figures
from benchmarks.quality.problem import Problem
from benchmarks.quality.protocol import leave_one_out, successive
from benchmarks.quality.report import OURS, strata_figures
from benchmarks.quality.seeds import scores_name, seed_figures
from benchmarks.quality.table import table
from nearline.errors import InputError, run_job
from nearline.models.kept_vectors import kept_vectors
from nearline.settings import Settings

log = logging.getLogger("nearline.quality")

HERE = Path(__file__).resolve().parent
BUDGET = 600.0
PROTOCOLS = {"successive": successive, "loo": leave_one_out}


def main(argv: list[str] | None = None) -> int:
    """Run it all; 1 where another evaluator fails, or does not get the same figures."""
    wanted = _arguments(argv)
    logging.getLogger().handlers[:] = []  # standard output is for figures
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    peers = contestants.wanted_peers(wanted.peers)
    settings = Settings.from_env()
    data = QualityData.load(wanted.data)
    problem = make_problem(data, wanted.protocol, wanted.seed)
    folder: Path = wanted.out or settings.bench_folder / "quality" / data.name / wanted.protocol
    digest = problem_folder.write_problem(problem, data, frozen_vectors(data, folder.parent / "minilm"), folder)
    log.info("%s: problem %s in %s", data.name, digest[:12], folder)

    scores = contestants.Scores(folder / "scores", digest)
    again, fill = (set((names or "").split(",")) for names in (wanted.again, wanted.fill))
    ours = {wanted.seed: OURS} | {seed: scores_name(seed) for seed in wanted.seeds if seed != wanted.seed}
    for seed, name in ours.items():
        contestants.run_ours(
            scores, name, partial(_score_ours, data, problem, folder, name, seed), again=bool(again & {"all", OURS})
        )
    failed = contestants.run_peers(
        scores, peers, wanted.peers_python, wanted.budget,
        again=lambda peer: bool(again & {"all", peer}), fill=lambda peer: bool(fill & {"all", peer}),
    )  # fmt: skip
    found = {
        name: ranked.rank_scores(scores.folder / f"{name}.npy", problem)
        for name in scores.names()
        if name in peers or name in ours.values()
    }
    shown = [name for name in found if name in peers or name == OURS]
    judged = {name: found[name] for name in shown}
    report = {
        "data": _data_facts(data),
        "code": contestants.code(),
        "protocol": {**json.loads((folder / "problem.json").read_text()), "name": wanted.protocol},
        "made": {name: scores.facts(name) for name in shown},
        "failed": failed,
        "strata": strata_figures(problem, judged),
    }
    if len(ours) > 1:
        trained = {seed: found[name] for seed, name in ours.items()}
        report["seeds"] = seed_figures(problem, trained, {name: judged[name] for name in shown if name != OURS})
    began = time.monotonic()
    predictions.write_predictions(problem, data, judged, folder / "predictions.parquet")
    _write(report, folder)
    pictures = plots.draw_plots(problem, judged, report, folder)
    log.info("predictions and plots took %.0f s", time.monotonic() - began)
    report["check"] = check(folder, wanted.peers_python)
    _write(report, folder)
    files = [folder / "report.json", folder / "predictions.parquet", *pictures]
    report["mlflow_run"] = tracking.log_report(report, files, wanted.mlflow or settings.mlflow_uri, folder.parent)
    _write(report, folder)
    publish("quality", list(figures(report)), folder)
    print(table(report), file=sys.stderr)
    checked = report["check"]
    return int(bool(checked) and (checked["different"] > 0 or not checked["compared"]))


def make_problem(data: QualityData, protocol: str, seed: int) -> Problem:
    """Cut the data by a protocol.

    Raises
    ------
    InputError
        When the protocol needs times and the data have none.
    """
    if protocol == "successive" and not data.timed:
        raise InputError(
            f"{data.name}: expected the column occurred_at for PROTOCOL=successive, saw only an order. "
            "Fix: use PROTOCOL=loo, or add the times."
        )
    return PROTOCOLS[protocol](data.ledger, seed)


def frozen_vectors(data: QualityData, kept: Path) -> Any:
    """MiniLM vectors of the item texts as it was published, float32 (items, 384); kept beside the results."""
    from nearline.models.text_model import TextModel, text_model_folder, use_threads

    def encode(texts: Any) -> Any:
        log.info("reading %d texts", len(texts))
        use_threads()
        return TextModel.load(text_model_folder("minilm")).encode(texts)

    return kept_vectors(data.texts, encode, kept)


def check(folder: Path, python: Path) -> dict[str, Any] | None:
    """What another evaluator says of predictions.parquet; None where there is none to ask."""
    if not python.exists():
        log.warning("no other evaluator, as there is no %s. Fix: make .venv-peers/.installed", python)
        return None
    done = subprocess.run(
        [str(python), str(HERE / "check_predictions.py"), str(folder)], capture_output=True, text=True
    )
    try:
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        why = " ".join(done.stderr.strip().splitlines()[-1:])
        log.error("the other evaluator failed: %s", why)
        return {"evaluator": "ir-measures", "compared": 0, "different": 0, "failed": why}
    log.info("%s: %s", found["evaluator"], done.stderr.strip() or f"the same {found['compared']} figures")
    return found


def _score_ours(data: QualityData, problem: Problem, folder: Path, name: str, seed: int) -> None:
    from benchmarks.quality import nearline_model

    nearline_model.score(data, problem, folder, name, seed)


def _data_facts(data: QualityData) -> dict[str, Any]:
    ledger = data.ledger
    sizes = {"items": len(ledger.items), "users": len(ledger.users), "events": len(ledger)}
    return {"name": data.name, "digest": data.digest, "timed": data.timed, "rejected": data.rejected, **sizes}


def _write(report: dict[str, Any], folder: Path) -> None:
    draft = folder / ".report.json"
    draft.write_text(json.dumps(report, indent=1))
    draft.replace(folder / "report.json")


def _numbers(text: str) -> list[int]:
    numbers = text.split(",")
    if not all(number.strip().isdecimal() for number in numbers):
        raise argparse.ArgumentTypeError(f"expected whole numbers such as 8,9; saw {text!r}")
    return [int(number) for number in numbers]


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with items and events, or MovieLens' own")
    parser.add_argument("--out", type=Path, help="default: bench/quality/<data>/<protocol> in NEARLINE_HOME")
    parser.add_argument("--protocol", choices=sorted(PROTOCOLS), default="successive")
    parser.add_argument("--peers", default="all", help=f"all, none, or some of {','.join(contestants.PEERS)}")
    parser.add_argument("--peers-python", type=Path, default=Path(".venv-peers/bin/python"), metavar="PYTHON")
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds for each peer to tune and learn")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--seeds", type=_numbers, default=[], metavar="NUMBERS", help="train nearline with these seeds too: 8,9"
    )
    parser.add_argument("--again", nargs="?", const="all", metavar="NAMES", help="make these scores again (all)")
    parser.add_argument(
        "--fill",
        metavar="NAMES",
        help="for these kept peers choose again, learning nothing, what rows without history get",
    )
    parser.add_argument("--mlflow", metavar="URI", help="default: NEARLINE_MLFLOW_URI, or a database beside results")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run_job(main)
