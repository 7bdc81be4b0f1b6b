"""Look for better hyperparameters of the behaviour model, on the newest daily run's snapshot, with MLflow watching.

python jobs/tune.py --trials 20
python jobs/tune.py --run NAME

Needs a daily run with a snapshot, and MLflow (`make up`). Nothing from the window that daily runs are judged on is
looked at. The last line says what to set.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from datetime import UTC, datetime

from nearline.adapters.snapshot import Snapshot, read_snapshot
from nearline.adapters.training_run import TrainingRun
from nearline.adapters.tuning_runs import EXPERIMENT, start_run
from nearline.daily_training import untuned_vectors_folder
from nearline.errors import InputError, ModelError, run_job
from nearline.models.cross_validation import CrossValidation, Texts
from nearline.models.kept_vectors import kept_vectors
from nearline.models.text_model import TextModel, text_model_folder, use_threads
from nearline.run_folder import NAME, RunFolder
from nearline.search import Search, Trial, changes
from nearline.settings import Settings
from nearline.training_plan import training_plan

log = logging.getLogger("nearline.tune")


def main(argv: list[str] | None = None) -> int:
    """Search, log every trial to MLflow, and print the setting of the best one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20, help="sets of values to try, the present one included")
    parser.add_argument("--run", help=f"{NAME} (default: the newest)")
    arguments = parser.parse_args(argv)
    if arguments.trials < 1:
        raise InputError(f"--trials: expected at least 1, saw {arguments.trials}. Fix: make tune TRIALS=20.")
    settings = Settings.from_env()
    use_threads(settings.threads)
    run = RunFolder(settings, arguments.run) if arguments.run else newest_run(settings)
    snapshot = read_snapshot(run.snapshot)
    texts = read_texts(settings, snapshot)
    began = datetime.now(UTC).isoformat(timespec="seconds")
    parent = start_run(settings, f"tune {run.name} {began}")
    status = "FAILED"
    try:
        ledger = snapshot.ledger.before(snapshot.cut)
        parent.log_parameters({"data.run": run.name, "data.digest": snapshot.facts["digest"], "seed": settings.seed})
        log.info("%s: %d items, %d events before the cut", run.name, len(snapshot.item_ids), len(ledger))
        validation = CrossValidation(snapshot.item_ids, ledger, snapshot.cut, texts, settings.seed)
        search = Search(training_plan(settings), settings.seed)
        for _ in range(arguments.trials):
            trial = search.next()
            _try(settings, search, trial, validation, parent)
        tell(search, parent)
        status = "FINISHED"
    finally:
        parent.finish(status)
    return 0


def newest_run(settings: Settings) -> RunFolder:
    """The daily run that took its snapshot last."""
    taken = sorted(settings.runs_folder.glob("*/snapshot/snapshot.json"), key=lambda path: path.stat().st_mtime)
    if not taken:
        raise InputError(
            f"{settings.runs_folder}: expected a daily run with a snapshot, saw none. "
            "Fix: have Airflow run daily_training, or `make demo`, first."
        )
    return RunFolder(settings, taken[-1].parents[1].name)


def read_texts(settings: Settings, snapshot: Snapshot) -> Texts:
    """Text vectors as the encoder gives them before any fine-tuning: kept ones, or read now and kept."""
    model = TextModel.load(text_model_folder(settings.text_model))
    said = kept_vectors(
        [*snapshot.texts, *snapshot.ledger.queries], model.encode, untuned_vectors_folder(settings, model)
    )
    return Texts(model, said[: len(snapshot.texts)], said[len(snapshot.texts) :])


def _try(settings: Settings, search: Search, trial: Trial, validation: CrossValidation, parent: TrainingRun) -> None:
    """Train one trial in all folds, as long as it is promising."""
    name = "as set now" if trial.number == 0 else f"trial {trial.number}"
    tracked, status, began, going_on = start_run(settings, name, parent), "FAILED", time.monotonic(), True
    try:
        tracked.log_parameters(trial.plan.named())
        for done, found in enumerate(validation.passes(trial.plan)):
            folds = {f"validation_ndcg.fold_{number}": value for number, value in enumerate(found.ndcg, 1)}
            losses = {f"behaviour_loss.fold_{number}": value for number, value in enumerate(found.loss, 1)}
            tracked.log_metrics({"validation_ndcg": found.mean} | folds | losses, done)
            shown = ", ".join(f"{value:.4f}" for value in found.ndcg)
            log.info("%s, pass %d: NDCG@10 %.4f (%s)", name, done + 1, found.mean, shown)
            if not (going_on := search.go_on(trial, found.mean)):
                break
        search.finish(trial, given_up=not going_on)
        tracked.log_metrics({"best_ndcg": trial.best, "seconds": time.monotonic() - began})
        tracked.tag(given_up=str(not going_on).lower())
        status = "FINISHED"
        log.info(
            "%s: %s %.4f in %.0f s; the best so far has %.4f",
            name, "NDCG@10" if going_on else "given up at", trial.best, time.monotonic() - began, search.best.best,
        )  # fmt: skip
    except ModelError as problem:  # numbers that are no longer finite
        if trial.number == 0:
            raise
        search.fail(trial)
        log.warning("%s broke: %s", name, problem)
    finally:
        tracked.finish(status)


def tell(search: Search, parent: TrainingRun) -> None:
    """Say what was found, to MLflow and to the person who asked."""
    now, best = search.finished[0], search.best
    gain = best.best - now.best
    parent.log_parameters({"best.trial": best.number} | {name: best.plan.named()[name] for name in search.space})
    parent.log_metrics({"best_ndcg": best.best, "present_ndcg": now.best, "gain": gain})
    setting = json.dumps(changes(best.plan))
    parent.tag(hyperparameters=setting)
    print(f"MLflow has all trials in the experiment {EXPERIMENT}.")
    print(f"NDCG@10 over the folds: {now.best:.4f} as set now, {best.best:.4f} in the best trial ({gain:+.4f}).")
    if best is now:
        print("Nothing better was found: leave it as it is.")
        return
    print("The best of many is partly luck; the next daily run judges it on events that no trial saw. To use it, set")
    print(f"NEARLINE_HYPERPARAMETERS='{setting}'")


if __name__ == "__main__":
    run_job(main)
