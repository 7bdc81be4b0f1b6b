"""Register the accepted candidate of a daily run with MLflow.

python jobs/register.py --run NAME
"""

from __future__ import annotations

import json
import logging

from nearline.adapters import registered_model
from nearline.adapters.snapshot import read_facts
from nearline.adapters.training_run import TrainingRun
from nearline.daily_training import text_vectors_folder
from nearline.errors import GateRefused, InputError, run_job
from nearline.models.kept_vectors import link_vectors
from nearline.run_folder import RunFolder

log = logging.getLogger("nearline.register")


def main(argv: list[str] | None = None) -> int:
    """Write registered.json with version and run_id; running it again registers nothing new."""
    run = RunFolder.from_arguments(__doc__, argv)
    settings = run.settings
    if not run.judgement.exists():
        raise InputError(f"{run.judgement}: expected a judgement, saw no file. Fix: run judge for this run first.")
    judgement = json.loads(run.judgement.read_text())
    if not judgement["accepted"]:
        raise GateRefused(judgement["reason"])
    tracked = TrainingRun.named(settings, run.name)
    facts = read_facts(run.snapshot)
    tags = {"nearline.run": run.name, "nearline.digest": facts["digest"], "nearline.reason": judgement["reason"]}
    version = registered_model.register(tracked, settings.model, run.model, tags)
    # For the day it is the champion, and this run's folder is gone: what it has read it need not read again.
    kept = registered_model.text_vectors_of_version(settings, version, tracked.run_id)
    link_vectors(text_vectors_folder(run), kept)
    tracked.finish()
    run.registered.write_text(json.dumps({"version": version, "run_id": tracked.run_id}))
    log.info("%s version %d", settings.model, version)
    return 0


if __name__ == "__main__":
    run_job(main)
