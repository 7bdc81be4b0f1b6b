"""MLflow: one run for each daily training, and the registered model with its champion."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearline.errors import ModelError, StackError
from nearline.settings import Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient

EXPERIMENT = "nearline"
MODEL = "nearline-interest"
CHAMPION = "champion"

# Importing MLflow takes seconds; only what needs it pays, hence the imports inside functions.


def tracking_uri(settings: Settings) -> str:
    """The tracking server that is set, or the local one. May hold a password: never log it."""
    return settings.mlflow_uri or f"http://127.0.0.1:{settings.mlflow_port}"


def connect(settings: Settings) -> MlflowClient:
    """Point MLflow at the tracking server and return a client.

    Raises
    ------
    StackError
        When the server does not answer.
    """
    # MLflow retries for minutes by default; a server that is down should be known at once.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    import mlflow
    from mlflow.exceptions import MlflowException

    mlflow.set_tracking_uri(tracking_uri(settings))
    mlflow.set_registry_uri(tracking_uri(settings))
    client = mlflow.MlflowClient()
    try:
        client.search_experiments(max_results=1)
    except MlflowException as problem:
        where = "the address in NEARLINE_MLFLOW_URI" if settings.mlflow_uri else tracking_uri(settings)
        raise StackError(
            f"Expected an MLflow server at {where}, saw {type(problem).__name__}. "
            "Fix: start it with `make up`, or correct NEARLINE_MLFLOW_URI."
        ) from None
    return client


class TrainingRun:
    """The MLflow run of one daily training, found again by name from each of its jobs."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.client = client
        self.run_id = run_id

    @classmethod
    def named(cls, settings: Settings, name: str) -> TrainingRun:
        """Start the run, or go on with the one of that name."""
        client = connect(settings)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT)
        found = client.search_runs(
            [experiment_id],
            f"tags.`nearline.run` = '{name}'",
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )
        if found:
            return cls(client, found[0].info.run_id)
        run = client.create_run(experiment_id, run_name=name, tags={"nearline.run": name})
        return cls(client, run.info.run_id)

    def log_parameters(self, values: Mapping[str, Any]) -> None:
        """Log parameters; of a job that ran before, the first values stay, as MLflow keeps parameters for good."""
        from mlflow.entities import Param

        known = self.client.get_run(self.run_id).data.params
        fresh = [Param(key, str(value)[:6000]) for key, value in values.items() if key not in known]
        if fresh:
            self.client.log_batch(self.run_id, params=fresh)

    def log_metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log figures of a step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.run_id, metrics=[Metric(key, float(v), now, step) for key, v in values.items()])

    def log_dict(self, content: Mapping[str, Any], name: str) -> None:
        """Keep a JSON file with the run."""
        self.client.log_dict(self.run_id, dict(content), name)

    def log_figure(self, figure: Figure, name: str) -> None:
        """Keep a picture with the run."""
        self.client.log_figure(self.run_id, figure, name)

    def tag(self, **values: str) -> None:
        """Set tags."""
        for key, value in values.items():
            self.client.set_tag(self.run_id, f"nearline.{key}", value)

    def finish(self, status: str = "FINISHED") -> None:
        """End the run: FINISHED or FAILED."""
        self.client.set_terminated(self.run_id, status)

    def register(self, model: Path, tags: Mapping[str, str]) -> int:
        """Log the model folder as a pyfunc with signature and input example, and register it; its version number.

        Running it again for the same run returns the version that is there.
        """
        import mlflow
        import pandas as pd
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, DataType, Schema
        from mlflow.types.schema import Array

        with suppress(mlflow.exceptions.MlflowException):  # the very first version: the model is not known yet
            for version in self.client.search_model_versions(f"name = '{MODEL}'"):
                if version.run_id == self.run_id and version.status == "READY":
                    return int(version.version)
        example = pd.DataFrame(
            {
                "user_id": ["u42"],
                "events": [
                    json.dumps([{"kind": "search", "text": "a warm tent", "occurred_at": "2026-01-01T12:00:00+00:00"}])
                ],
            }
        )
        signature = ModelSignature(
            inputs=Schema([ColSpec(DataType.string, "user_id"), ColSpec(DataType.string, "events")]),
            outputs=Schema([ColSpec(DataType.string, "user_id"), ColSpec(Array(DataType.double), "interest")]),
        )
        with mlflow.start_run(run_id=self.run_id):
            logged = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(Path(__file__).with_name("interest_pyfunc.py")),
                artifacts={"model": str(model)},
                signature=signature,
                input_example=example,
                # Where it is loaded nearline is installed: its versions are the lock's, and nothing is guessed.
                pip_requirements=["nearline"],
            )
        version = mlflow.register_model(logged.model_uri, MODEL, tags=dict(tags))
        return int(version.version)


def champion_version(settings: Settings) -> int | None:
    """Version that the alias champion points to; None: there is none yet."""
    client = connect(settings)
    from mlflow.exceptions import MlflowException

    try:
        return int(client.get_model_version_by_alias(MODEL, CHAMPION).version)
    except MlflowException as problem:
        if problem.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def move_alias(settings: Settings, version: int) -> None:
    """Make ``version`` the champion."""
    connect(settings).set_registered_model_alias(MODEL, CHAMPION, str(version))


def fetch_model(settings: Settings, version: int) -> Path:
    """Folder of a registered version, fetched once: ``settings.models_folder/<version>``.

    Raises
    ------
    ModelError
        When the registry has no such version.
    """
    folder = settings.models_folder / str(version)
    if folder.exists():
        return folder
    connect(settings)
    import mlflow

    settings.models_folder.mkdir(parents=True, exist_ok=True)
    # Beside its place, so that the last step is one rename; the process id keeps two fetchers apart.
    partial = settings.models_folder / f".{version}.{os.getpid()}"
    try:
        got = mlflow.artifacts.download_artifacts(
            artifact_uri=f"models:/{MODEL}/{version}", dst_path=str(_emptied(partial))
        )
        with suppress(OSError):  # another process was first
            (Path(got) / "artifacts" / "model").rename(folder)
    except mlflow.exceptions.MlflowException as problem:
        raise ModelError(
            f"Expected version {version} of {MODEL} in MLflow, saw {problem.error_code}. Fix: run the daily training."
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    if not (folder / "model.json").exists():
        raise ModelError(f"{folder}: expected model.json, saw none. Fix: delete the folder and try again.")
    return folder


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
