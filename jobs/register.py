"""Register the accepted candidate of a daily run with MLflow.

python jobs/register.py --run 2026-11-21
"""

from __future__ import annotations

import argparse
import json
import logging

from nearline.adapters import mlflow_registry
from nearline.adapters.snapshot import read_facts
from nearline.errors import GateRefused, InputError, run_job
from nearline.run_folder import RunFolder
from nearline.settings import Settings

log = logging.getLogger("nearline.register")


def main(argv: list[str] | None = None) -> int:
    """Write registered.json with version and run_id; running it again registers nothing new."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="name of the daily run")
    arguments = parser.parse_args(argv)
    settings = Settings.from_env()
    run = RunFolder(settings, arguments.run)
    if not run.judgement.exists():
        raise InputError(f"{run.judgement}: expected a judgement, saw no file. Fix: run judge for this run first.")
    judgement = json.loads(run.judgement.read_text())
    if not judgement["accepted"]:
        raise GateRefused(judgement["reason"])
    tracked = mlflow_registry.TrainingRun.named(settings, run.name)
    facts = read_facts(run.snapshot)
    tags = {"nearline.run": run.name, "nearline.digest": facts["digest"], "nearline.reason": judgement["reason"]}
    version = tracked.register(settings.model, run.model, tags)
    tracked.finish()
    run.registered.write_text(json.dumps({"version": version, "run_id": tracked.run_id}))
    log.info("%s version %d", settings.model, version)
    return 0


if __name__ == "__main__":
    run_job(main)
