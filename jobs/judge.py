"""Judge the candidate, as it would be served, against the champion and simple rivals on the newest events.

python jobs/judge.py --run 2026-11-21

Exit status 99: refused, with the reason in judgement.json and in MLflow.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nearline.adapters import mlflow_registry
from nearline.adapters.judgement_plot import judgement_plot
from nearline.adapters.snapshot import Snapshot, read_snapshot, read_transitions
from nearline.daily_training import text_vectors_folder
from nearline.errors import GateRefused, ModelError, run_job
from nearline.models.interest_model import InterestModel
from nearline.models.judgement import Judgement, Test, decide, figures, plain_scores
from nearline.models.kept_vectors import kept_vectors
from nearline.models.text_model import TextModel, text_model_folder, use_threads
from nearline.run_folder import RunFolder
from nearline.settings import Settings

log = logging.getLogger("nearline.judge")


def main(argv: list[str] | None = None) -> int:
    """Write judgement.json, log it, then accept or refuse."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="name of the daily run")
    arguments = parser.parse_args(argv)
    settings = Settings.from_env()
    run = RunFolder(settings, arguments.run)
    use_threads()
    snapshot = read_snapshot(run.snapshot)
    test = Test.of(snapshot.ledger, snapshot.cut, settings.seed)
    log.info("%d first meetings after the cut", len(test.window))
    kept = settings.home / "text_vectors"
    found = {"candidate": figures(test, _scores(run.model, snapshot, test, text_vectors_folder(run)))}
    candidate = read_transitions(run.model / "transitions.parquet", snapshot.item_ids)
    encoder = text_model_folder(settings.text_model)
    name = hashlib.sha256(encoder.encode()).hexdigest()[:16]
    untuned = kept_vectors(
        snapshot.texts, lambda texts: TextModel.load(encoder).encode(texts), kept / f"untuned-{name}"
    )
    for name, scores in plain_scores(test, untuned, candidate).items():
        found[name] = figures(test, scores)
    if (version := mlflow_registry.champion_version(settings)) is not None:
        folder = mlflow_registry.fetch_model(settings, version)
        try:
            found["champion"] = figures(test, _scores(folder, snapshot, test, kept / f"version-{version}"))
        except ModelError as problem:
            log.warning("the champion, version %d, cannot be judged beside the candidate: %s", version, problem)
    judgement = decide(found)
    _report(settings, run, judgement)
    if not judgement.accepted:
        raise GateRefused(judgement.reason)
    return 0


def _scores(folder: Path, snapshot: Snapshot, test: Test, kept: Path) -> Iterator[np.ndarray]:
    """The blend, as it is served, of the model in a folder; its text vectors are ``kept``."""
    model = InterestModel.load(folder)
    vectors = kept_vectors([*snapshot.texts, *snapshot.ledger.queries], model.text_vectors, kept)
    items, queries = vectors[: len(snapshot.texts)], vectors[len(snapshot.texts) :]
    transitions = read_transitions(folder / "transitions.parquet", snapshot.item_ids)
    return test.served_scores(model, items, queries, transitions)


def _report(settings: Settings, run: RunFolder, judgement: Judgement) -> None:
    content = judgement.as_dict()
    run.judgement.write_text(json.dumps(content, indent=1))
    for name, strata in judgement.figures.items():
        log.info("%-14s NDCG@10 %s", name, ", ".join(f"{key} {value['ndcg']:.4f}" for key, value in strata.items()))
    log.info("%s: %s", "accepted" if judgement.accepted else "refused", judgement.reason)
    tracked = mlflow_registry.TrainingRun.named(settings, run.name)
    tracked.log_metrics(judgement.flat())
    tracked.log_dict(content, "judgement.json")
    tracked.log_figure(judgement_plot(judgement.figures), "judgement.png")
    tracked.tag(accepted=str(judgement.accepted).lower(), reason=judgement.reason)
    if not judgement.accepted:
        tracked.finish()


if __name__ == "__main__":
    run_job(main)
