"""MLflow runs of a search: one for the search, and one in it for each trial."""

from __future__ import annotations

from nearline.adapters.mlflow_server import connect
from nearline.adapters.training_run import TrainingRun
from nearline.settings import Settings

EXPERIMENT = "nearline-tune"


def start_run(settings: Settings, name: str, parent: TrainingRun | None = None) -> TrainingRun:
    """Start a run, nested in ``parent`` where MLflow shows it.

    Raises
    ------
    StackError
        When the server does not answer.
    """
    client = connect(settings)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT)
    tags = {"mlflow.parentRunId": parent.run_id} if parent else {}
    run = client.create_run(experiment_id, run_name=name, tags=tags)
    return TrainingRun(client, run.info.run_id)
