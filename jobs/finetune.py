"""Train both language models on what came before the cut, in processes that Spark's TorchDistributor starts.

python jobs/finetune.py --run NAME
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from pyspark.ml.torch.distributor import TorchDistributor

from nearline.adapters import champion_alias, registered_model
from nearline.adapters.snapshot import read_facts
from nearline.adapters.spark import session
from nearline.adapters.training_run import TrainingRun
from nearline.errors import InputError, ModelError, SettingsError, StackError, run_job
from nearline.run_folder import NAME, RunFolder
from nearline.settings import Settings

log = logging.getLogger("nearline.finetune")


def main(argv: list[str] | None = None) -> int:
    """Write the candidate to the run's folder model/, complete or not at all, and log how it went to MLflow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help=NAME)
    parser.add_argument(
        "--start", default="champion", help="champion (the registry's, if there is one), afresh, or a model folder"
    )
    arguments = parser.parse_args(argv)
    settings = Settings.from_env()
    _check_processes(settings)
    run = RunFolder(settings, arguments.run)
    read_facts(run.snapshot)  # what is missing is said before Spark starts, and so is an MLflow that is away
    TrainingRun.named(settings, run.name)
    start = _start(settings, arguments.start)
    shutil.rmtree(run.model, ignore_errors=True)
    for said in (run.judgement, run.registered):  # in an earlier try, of another model
        said.unlink(missing_ok=True)
    session(settings, "nearline finetune")
    # The training process inherits the environment; an address that may hold a password never becomes an argument.
    os.environ["PYTHONUNBUFFERED"] = "1"
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # the distributor passes its lines on; a log file wants them now
    os.environ["TORCH_CPP_LOG_LEVEL"] = "ERROR"
    # Spark would hand out GPUs that its own configuration knows of; each process finds its own by its number.
    distributor = TorchDistributor(num_processes=settings.training_processes, local_mode=True, use_gpu=False)
    try:
        failure = distributor.run(_worker(), run.name, start)
        if failure:
            raise ModelError(failure)
    except Exception:
        with suppress(StackError):  # what failed is what to say
            TrainingRun.named(settings, run.name).finish("FAILED")
        raise
    return 0


def _start(settings: Settings, named: str) -> str | None:
    """The model folder to start from; None: afresh."""
    if named == "afresh":
        log.info("starting afresh, as it was asked for")
        return None
    if named == "champion":
        if (found := champion_alias.champion(settings)) is None:
            log.info("starting afresh, as no version has the alias %s", champion_alias.CHAMPION)
            return None
        try:
            return str(registered_model.fetch_model(settings, found.version, found.run_id))
        except ModelError as problem:
            log.warning("starting afresh, as the champion cannot be read: %s", problem)
            return None
    if not (Path(named) / "model.json").is_file():
        raise InputError(
            f"--start: expected champion, afresh or a model folder, saw {named!r}. Fix: name one of these."
        )
    return named


def _check_processes(settings: Settings) -> None:
    wanted, gpus = settings.training_processes, torch.cuda.device_count()
    if gpus and wanted > gpus:
        raise SettingsError(
            f"NEARLINE_TRAINING_PROCESSES: expected at most {gpus}, the number of GPUs here, saw {wanted}. "
            "Fix: use one process a GPU."
        )


def _worker() -> Callable[[str, str | None], str | None]:
    """The training as a closure: it travels by value, as this file cannot be imported where it runs."""

    def train(name: str, start: str | None) -> str | None:
        import logging
        import os
        import sys

        from nearline.daily_training import train_run
        from nearline.errors import NearlineError
        from nearline.models.process_group import process_group
        from nearline.parent_process import end_with_parent
        from nearline.settings import Settings

        end_with_parent()
        first = os.environ.get("RANK", "0") == "0"
        logging.basicConfig(
            level=logging.INFO if first else logging.WARNING,
            stream=sys.stdout,
            format="%(asctime)s %(name)s: %(message)s",
            datefmt="%H:%M:%S",
        )
        failure = None
        try:
            with process_group():
                train_run(Settings.from_env(), name, start)
        except NearlineError as error:
            failure = str(error)
        except RuntimeError:
            if first:
                raise
            # The first one ended and says why, or waits for this one, notices that it is gone, and fails.
            logging.getLogger("nearline.training").exception("process %s of the training stopped", os.environ["RANK"])
        if not first:
            sys.exit(0)  # every process would write its answer into one file; only the first one's counts
        return failure

    return train


if __name__ == "__main__":
    run_job(main)
