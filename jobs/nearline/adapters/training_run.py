"""The MLflow run of one daily training, and what its jobs leave with it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nearline.adapters.mlflow_server import ABSENT, answered, connect
from nearline.errors import StackError
from nearline.settings import Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient

JUDGEMENT = "judgement.json"
"""What `judge` leaves with the MLflow run."""


class TrainingRun:
    """The MLflow run of one daily training, found again by name from each of its jobs."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.client = client
        self.run_id = run_id

    @classmethod
    def named(cls, settings: Settings, name: str) -> TrainingRun:
        """Start the run, or go on with the one of that name."""
        client = connect(settings)
        with answered():
            experiment = client.get_experiment_by_name(settings.experiment)
            if experiment and experiment.lifecycle_stage == "deleted":
                raise StackError(
                    f"Expected MLflow's experiment {settings.experiment} to be active, saw that somebody deleted it. "
                    f"Fix: mlflow experiments restore --experiment-id {experiment.experiment_id}"
                )
            experiment_id = experiment.experiment_id if experiment else client.create_experiment(settings.experiment)
            found = client.search_runs(
                [experiment_id],
                f"tags.`nearline.run` = '{name}'",
                max_results=1,
                order_by=["attributes.start_time DESC"],
            )
            run = found[0] if found else client.create_run(experiment_id, run_name=name, tags={"nearline.run": name})
            return cls(client, run.info.run_id)

    @classmethod
    def of_training(cls, settings: Settings, name: str, parameters: Mapping[str, Any]) -> TrainingRun:
        """Go on with the run of that name and log its parameters; where it has others, leave it and start a new one.

        MLflow keeps parameters for good, and a job that was cleared may have other data or settings: its run would
        describe another model than the one that is registered from it.
        """
        run = cls.named(settings, name)
        with answered():
            known = run.client.get_run(run.run_id)
            if any(known.data.params.get(key, said) != said for key, said in _as_params(parameters).items()):
                fresh = run.client.create_run(
                    known.info.experiment_id, run_name=name, tags={"nearline.run": name}
                ).info.run_id
                run.tag(replaced_by=fresh)
                if known.info.status == "RUNNING":
                    run.finish("KILLED")
                run = cls(run.client, fresh)
        run.log_parameters(parameters)
        return run

    @answered()
    def log_parameters(self, values: Mapping[str, Any]) -> None:
        """Log parameters; where there is a value already it stays, as MLflow keeps parameters for good."""
        from mlflow.entities import Param

        known = self.client.get_run(self.run_id).data.params
        fresh = [Param(key, said) for key, said in _as_params(values).items() if key not in known]
        if fresh:
            self.client.log_batch(self.run_id, params=fresh)

    @answered()
    def log_metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log figures of a step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.run_id, metrics=[Metric(key, float(v), now, step) for key, v in values.items()])

    @answered()
    def log_dict(self, content: Mapping[str, Any], name: str) -> None:
        """Keep a JSON file with the run."""
        self.client.log_dict(self.run_id, dict(content), name)

    @answered()
    def log_figure(self, figure: Figure, name: str) -> None:
        """Keep a picture with the run."""
        self.client.log_figure(self.run_id, figure, name)

    @answered()
    def tag(self, **values: str) -> None:
        """Set tags."""
        for key, value in values.items():
            self.client.set_tag(self.run_id, f"nearline.{key}", value)

    @answered()
    def finish(self, status: str = "FINISHED") -> None:
        """End the run: FINISHED, FAILED or KILLED."""
        self.client.set_terminated(self.run_id, status)


def read_judgement(settings: Settings, run_id: str) -> dict[str, Any] | None:
    """What `judge` left with an MLflow run; None: it did not judge it, or there is no such run.

    Raises
    ------
    StackError
        When the server does not answer.
    """
    client = connect(settings)
    import mlflow

    with answered():
        # Listed first: of a file that is missing, and of a server that is away, MLflow's download says the same.
        try:
            left = {file.path for file in client.list_artifacts(run_id)}
        except mlflow.exceptions.MlflowException as problem:
            if problem.error_code == ABSENT:
                return None
            raise
        if JUDGEMENT not in left:
            return None
        found: dict[str, Any] = mlflow.artifacts.load_dict(f"runs:/{run_id}/{JUDGEMENT}")
    return found


def _as_params(values: Mapping[str, Any]) -> dict[str, str]:
    """As MLflow keeps them: text, not longer than it takes."""
    return {key: str(value)[:6000] for key, value in values.items()}
