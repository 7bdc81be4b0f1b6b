"""The benchmark in MLflow: one run a report, in an experiment of its own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

EXPERIMENT = "nearline-quality"


def log_report(report: dict[str, Any], files: Iterable[Path], uri: str | None, folder: Path) -> str:
    """Log parameters, all figures and ``files``; returns the run's id.

    Parameters
    ----------
    uri
        Of a tracking server or store; None: a database in ``folder``.
    """
    _use(uri, folder)
    import mlflow

    name = f"{report['data']['name']} {report['protocol']['name']}"
    with mlflow.start_run(run_name=name) as run:
        for part in ("data", "code", "protocol"):
            mlflow.log_params(flat(part, report[part]))
        made = report["made"].get("nearline") or {}  # kept scores may be of other code than today's
        for part in ("code", "settings"):
            mlflow.log_params(flat(f"nearline.{part}", made.get(part, {})))
        mlflow.log_metrics(dict(figures(report)))
        for path in files:
            mlflow.log_artifact(str(path))
        return str(run.info.run_id)


def log_ablations(report: dict[str, Any], file: Path, uri: str | None, folder: Path) -> str:
    """Log what the parts of the model earn on a data set; returns the run's id. ``uri`` as above."""
    _use(uri, folder)
    import mlflow

    with mlflow.start_run(run_name=f"{report['data']['name']} ablations") as run:
        for part in ("data", "code", "settings"):
            mlflow.log_params(flat(part, report[part]))
        for row in report["rows"]:
            figures = {figure: value for figure, value in row.items() if isinstance(value, float)}
            mlflow.log_metrics({f"without_{row['without']}.{figure}": value for figure, value in figures.items()})
        mlflow.log_artifact(str(file))
        return str(run.info.run_id)


def _use(uri: str | None, folder: Path) -> None:
    # MLflow retries for minutes by default; a server that is down should be known at once.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    import mlflow

    mlflow.set_tracking_uri(uri or f"sqlite:///{folder.resolve() / 'mlflow.db'}")
    if mlflow.get_experiment_by_name(EXPERIMENT) is None:
        mlflow.create_experiment(EXPERIMENT, None if uri else (folder / "mlflow").resolve().as_uri())
    mlflow.set_experiment(EXPERIMENT)


def figures(report: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Names as ``warm.nearline.ndcg`` and ``warm.nearline_less_ease.p``, and their values."""
    for stratum, found in report["strata"].items():
        for model, metrics in found["models"].items():
            for metric, estimate in metrics.items():
                if estimate is not None:
                    yield f"{stratum}.{model}.{metric}", estimate["value"]
        for peer, versus in found["versus"].items():
            yield f"{stratum}.nearline_less_{peer}.ndcg", versus["difference"]["value"]
            yield f"{stratum}.nearline_less_{peer}.p", versus["p"]


def flat(prefix: str, values: dict[str, Any]) -> dict[str, str]:
    """Parameters of MLflow, which knows no nesting."""
    return {f"{prefix}.{name}": str(value)[:500] for name, value in values.items()}
