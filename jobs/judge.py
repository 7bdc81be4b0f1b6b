"""Judge the candidate, as it would be served, against the champion and simple rivals on the newest events.

python jobs/judge.py --run NAME

Exit status 99: refused, with the reason in judgement.json, in MLflow and in nearline.judgements.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from psycopg.types.json import Jsonb

from nearline.adapters import champion_alias, registered_model
from nearline.adapters.judgement_plot import judgement_plot
from nearline.adapters.postgres import connect, queries
from nearline.adapters.snapshot import Snapshot, read_snapshot, read_transitions
from nearline.adapters.training_run import TrainingRun
from nearline.adapters.version_tables import live_version
from nearline.daily_training import text_vectors_folder, untuned_vectors_folder
from nearline.errors import GateRefused, ModelError, run_job
from nearline.models.interest_model import InterestModel
from nearline.models.judgement import Figures, Judgement, Test, decide, figures, plain_scores
from nearline.models.kept_vectors import kept_vectors
from nearline.models.text_model import TextModel, text_model_folder, use_threads
from nearline.run_folder import RunFolder
from nearline.settings import Settings

log = logging.getLogger("nearline.judge")


def main(argv: list[str] | None = None) -> int:
    """Write judgement.json, log it, then accept or refuse."""
    run = RunFolder.from_arguments(__doc__, argv)
    settings = run.settings
    use_threads(settings.threads)
    snapshot = read_snapshot(run.snapshot)
    test, champion, about_champion, beside = _beside_champion(settings, snapshot)
    log.info("%d first meetings to judge on", len(test.window))
    scores = _scores(InterestModel.load(run.model), run.model, snapshot, test, text_vectors_folder(run))
    found = {"candidate": figures(test, scores)}
    candidate = read_transitions(run.model / "transitions.parquet", snapshot.item_ids)
    encoder = TextModel.load(text_model_folder(settings.text_model))
    untuned = kept_vectors(snapshot.texts, encoder.encode, untuned_vectors_folder(settings, encoder))
    for name, scores in plain_scores(test, untuned, candidate).items():
        found[name] = figures(test, scores)
    if champion is not None:
        found["champion"] = champion
    judgement = decide(found, about_champion)
    _report(settings, run, judgement, beside)
    if not judgement.accepted:
        raise GateRefused(judgement.reason)
    return 0


def _beside_champion(settings: Settings, snapshot: Snapshot) -> tuple[Test, Figures | None, str, int | None]:
    """What to judge on, how the champion does there, what the reason has to say about it, and its version."""
    usual = Test.of(snapshot.ledger, snapshot.cut, settings.seed)
    champion, about = champion_alias.champion(settings), ""
    if champion is not None:
        name = f"the champion, version {champion.version}"
    elif (champion := _live(settings)) is not None:
        name = f"version {champion.version}, live without the alias {champion_alias.CHAMPION}"
        about = f"the champion is {name}"
    else:
        return usual, None, "", None
    own = registered_model.text_vectors_of_version(settings, champion.version, champion.run_id)
    try:
        folder = registered_model.fetch_model(settings, champion.version, champion.run_id)
        model = InterestModel.load(folder)
        test = Test.unlearnt(snapshot.ledger, snapshot.cut, model.trained_until, settings.seed)
        if test is None:
            return usual, None, f"{name}, is left out: too little came after what it has learnt", champion.version
        found = figures(test, _scores(model, folder, snapshot, test, own))
    except ModelError as problem:
        log.warning("%s, cannot be judged beside the candidate: %s", name, problem)
        return usual, None, f"{name}, is left out: {problem}", champion.version
    if test.cut == usual.cut:
        return test, found, about, champion.version
    learnt = datetime.fromtimestamp(test.cut, UTC).isoformat(" ", "seconds")
    about = f"{name}, has learnt more than the candidate: only what came from {learnt} on counts"
    return test, found, about, champion.version


def _live(settings: Settings) -> champion_alias.Champion | None:
    """The version that is served, whatever the alias says."""
    with connect(settings, autocommit=True) as connection:
        if (version := live_version(connection)) is None:
            return None
        [(run_id, _)] = connection.execute(queries("publish")["origin"], {"model_version": version}).fetchall()
        return champion_alias.Champion(version, run_id)


def _scores(model: InterestModel, folder: Path, snapshot: Snapshot, test: Test, kept: Path) -> Iterator[np.ndarray]:
    """The blend, as it is served, of the model of a folder; its text vectors are ``kept``."""
    vectors = kept_vectors([*snapshot.texts, *snapshot.ledger.queries], model.text_vectors, kept)
    items, queries = vectors[: len(snapshot.texts)], vectors[len(snapshot.texts) :]
    transitions = read_transitions(folder / "transitions.parquet", snapshot.item_ids)
    return test.served_scores(model, items, queries, transitions)


def _report(settings: Settings, run: RunFolder, judgement: Judgement, beside: int | None) -> None:
    content = {**judgement.as_dict(), "beside_version": beside}
    run.judgement.write_text(json.dumps(content, indent=1))
    for name, strata in judgement.figures.items():
        log.info("%-14s NDCG@10 %s", name, ", ".join(f"{key} {value['ndcg']:.4f}" for key, value in strata.items()))
    log.info("%s: %s", "accepted" if judgement.accepted else "refused", judgement.reason)
    tracked = TrainingRun.named(settings, run.name)
    tracked.log_metrics(judgement.flat())
    tracked.log_dict(content, "judgement.json")
    tracked.log_figure(judgement_plot(judgement.figures), "judgement.png")
    tracked.tag(accepted=str(judgement.accepted).lower(), reason=judgement.reason)
    about = {"run": run.name, "accepted": judgement.accepted, "reason": judgement.reason, "metrics": Jsonb(content)}
    with connect(settings, autocommit=True) as connection:
        connection.execute(queries("publish")["judged"], about)
    if not judgement.accepted:
        tracked.finish()


if __name__ == "__main__":
    run_job(main)
