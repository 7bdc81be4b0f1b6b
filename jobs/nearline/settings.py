"""All settings, read once from ``NEARLINE_*`` variables and checked before anything starts."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from nearline.core.hyperparameters import TrainingPlan
from nearline.errors import SettingsError

T = TypeVar("T")


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("expected some text")
    return value.strip()


def _folder(value: str) -> Path:
    return Path(_text(value)).expanduser().absolute()


def _url(value: str) -> str:
    if not re.match(r"^https?://[^\s/]+", value):
        raise ValueError("expected an address that starts with http:// or https://")
    return value.rstrip("/")


def _tracking_uri(value: str) -> str:
    if not re.match(r"^(https?|sqlite|postgresql(\+\w+)?|file|databricks)(:|$)", value):
        raise ValueError("expected an MLflow tracking URI such as http://mlflow:5000")
    return value


def _dsn(value: str) -> str:
    if not (value.startswith(("postgresql://", "postgres://")) or "=" in value):
        raise ValueError("expected a Postgres DSN such as postgresql://host/database or 'host=... dbname=...'")
    try:
        place = conninfo_to_dict(value)
    except ProgrammingError:
        place = {"host": "@"}
    if "@" in f"{place.get('host')}{place.get('port')}{place.get('dbname')}":  # else part of a password counts as these
        raise ValueError(
            "expected a Postgres DSN; in a password of an address write %25 %2F %40 for % / @, "
            "and quote one with spaces: password='...'"
        )
    return value


def _spark_master(value: str) -> str:
    if not re.match(r"^(local(\[[\d*]+(,\d+)?\])?|spark://\S+|yarn|k8s://\S+)$", value):
        raise ValueError("expected a Spark master: local[*], spark://host:7077, yarn or k8s://...")
    return value


def _memory(value: str) -> str:
    if not re.match(r"^\d+[mg]$", value):
        raise ValueError("expected a size in m or g, such as 1g")
    return value


def _integer(low: int, high: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not re.match(r"^-?\d+$", value) or not low <= int(value) <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return int(value)

    return read


def _share(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0.0 <= number <= 1.0:
        raise ValueError("expected a number from 0 to 1")
    return number


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value):
        raise ValueError("expected letters, digits, dots, dashes and underscores")
    return value


def _hyperparameters(value: str) -> dict[str, Any]:
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError("expected a JSON object of hyperparameters")
    TrainingPlan().changed(found)
    return found


def _setting(variable: str, default: T | None, read: Callable[[str], T], fix: str, *, secret: bool = False) -> Any:
    about = {"variable": variable, "read": read, "fix": fix, "secret": secret}
    return field(default=default, repr=not secret, metadata=about)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a deployment decides. Fields without a value use the embedded default.

    Raises
    ------
    SettingsError
        From `from_env`, naming the variable, the value seen (never a secret one) and the fix.
    """

    #: State of the local stack, training runs, models and benchmarks; the only folder Nearline writes to.
    home: Path = _setting(  # noqa: RUF009  it makes a field like all others; only Path is not known to be immutable
        "NEARLINE_HOME", Path(".nearline"), _folder, "name a folder you may write to"
    )
    #: Postgres with pgvector >= 0.8.4. None: an embedded server in ``home``. Never logged.
    dsn: str | None = _setting("NEARLINE_DSN", None, _dsn, "use postgresql://user:password@host/database", secret=True)
    #: MLflow tracking server. None: a local one in ``home``.
    mlflow_uri: str | None = _setting(
        "NEARLINE_MLFLOW_URI", None, _tracking_uri, "use the address of the tracking server", secret=True
    )
    #: The registered model in MLflow; its runs are in the experiment named so, less a closing "-interest".
    model: str = _setting("NEARLINE_MODEL", "nearline-interest", _name, "use a name such as nearline-interest")
    #: An Airflow that already runs and has dags/ and plugins/ deployed. None: a local one in ``home``.
    airflow_url: str | None = _setting("NEARLINE_AIRFLOW_URL", None, _url, "use the address of its API server")
    #: Spark master for the jobs that grow with data.
    spark_master: str = _setting("NEARLINE_SPARK_MASTER", "local[*]", _spark_master, "use local[*] or your cluster's")
    #: Memory of the Spark driver (and of each executor on a cluster).
    spark_memory: str = _setting("NEARLINE_SPARK_MEMORY", "1g", _memory, "give Spark a size such as 2g")
    #: Text encoder to start from: "minilm" (comes with the installation), a local folder, or a hub name.
    text_model: str = _setting("NEARLINE_TEXT_MODEL", "minilm", _text, "use minilm, a folder or a hub name")
    #: How many of a person's newest events the interest model reads.
    history_length: int = _setting("NEARLINE_HISTORY_LENGTH", 50, _integer(1, 1000), "use a number such as 50")
    #: Seconds that one run of nearline_interests drains at most; the next run takes over as soon as it is ready.
    drain_seconds: int = _setting("NEARLINE_DRAIN_SECONDS", 120, _integer(1, 480), "use a number such as 120")
    #: Shards into which people are divided, each refreshed by a task of its own: more than one process can do.
    shards: int = _setting("NEARLINE_SHARDS", 1, _integer(1, 64), "use a number such as 2")
    #: Seconds by which a run of nearline_interests may be late before Airflow raises an alert.
    lag_budget: int = _setting("NEARLINE_LAG_BUDGET", 60, _integer(1, 3600), "use a number of seconds such as 60")
    #: Versions whose vectors stay in Postgres, the live one included: going back to one of them takes seconds.
    keep_versions: int = _setting("NEARLINE_KEEP_VERSIONS", 3, _integer(1, 100), "use a number such as 3")
    #: Days of events, counted back from the newest, that stay in Postgres; older ones move to the archive.
    hot_days: int = _setting("NEARLINE_HOT_DAYS", 3650, _integer(1, 36500), "use a number of days such as 3650")
    #: Folder (any path Spark can write) of archived events. None: ``home``/archive.
    archive: str | None = _setting("NEARLINE_ARCHIVE", None, _text, "use a path that Spark can write")
    #: A load that rejects a larger share of its rows fails and loads nothing.
    max_rejected_share: float = _setting("NEARLINE_MAX_REJECTED_SHARE", 0.05, _share, "use a share such as 0.05")
    #: Share of the newest events, by time, that a candidate is judged on and has not been trained on.
    holdout_share: float = _setting("NEARLINE_HOLDOUT_SHARE", 0.1, _share, "use a share such as 0.1")
    #: Most optimiser steps of the text model in one daily run; bounds the length of a day.
    text_steps: int = _setting("NEARLINE_TEXT_STEPS", 160, _integer(0, 1_000_000), "use a number of steps such as 160")
    #: Most passes of the behaviour model over the training events in one daily run.
    epochs: int = _setting("NEARLINE_EPOCHS", 12, _integer(1, 1000), "use a number of epochs such as 12")
    #: Hyperparameters that differ from their defaults in jobs/nearline/core/hyperparameters.py; `make tune` finds some.
    hyperparameters: Mapping[str, Any] | None = _setting(
        "NEARLINE_HYPERPARAMETERS", None, _hyperparameters,
        """set something such as '{"behaviour.learning_rate": 0.002}'; jobs/nearline/core/hyperparameters.py has all""",
    )  # fmt: skip
    #: Processes that share the training of the behaviour model, on the machine that runs `finetune`; one a GPU.
    training_processes: int = _setting("NEARLINE_TRAINING_PROCESSES", 1, _integer(1, 64), "use a number such as 1")
    #: Cores that `finetune`, `judge` and `tune` use each, shared by the processes of one training.
    threads: int = _setting("NEARLINE_THREADS", 2, _integer(1, 1024), "use a number of cores such as 2")
    #: Seed of everything random.
    seed: int = _setting("NEARLINE_SEED", 7, _integer(0, 2**31 - 1), "use a whole number such as 7")
    #: Port of the local Airflow.
    airflow_port: int = _setting("NEARLINE_AIRFLOW_PORT", 8080, _integer(1, 65535), "use a free port")
    #: Port of the local MLflow server.
    mlflow_port: int = _setting("NEARLINE_MLFLOW_PORT", 5000, _integer(1, 65535), "use a free port")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read and check all ``NEARLINE_*`` variables of ``environ`` (the process environment by default)."""
        environ = os.environ if environ is None else environ
        known = {f.metadata["variable"]: f for f in fields(cls)}
        for name in environ:
            if name.startswith("NEARLINE_") and name not in known:
                raise SettingsError(
                    f"{name}: there is no such setting. Fix: unset it, or correct its name; known are "
                    f"{', '.join(sorted(known))}. Kubernetes sets such variables for a Service named nearline: "
                    "say enableServiceLinks: false in the pod, or name the Service otherwise."
                )
        values = {}
        for name, f in known.items():
            if name not in environ:
                continue
            try:
                values[f.name] = f.metadata["read"](environ[name])
            except ValueError as problem:
                seen = "a value not shown here" if f.metadata["secret"] else repr(environ[name])
                raise SettingsError(f"{name}: {problem}, saw {seen}. Fix: {f.metadata['fix']}.") from None
        return cls(**values)

    def __post_init__(self) -> None:
        # Servers and Spark workers run in folders of their own: a relative path would mean another place to each.
        object.__setattr__(self, "home", self.home.absolute())

    @property
    def postgres_folder(self) -> Path:
        """Data folder of the embedded Postgres."""
        return self.home / "postgres"

    @property
    def experiment(self) -> str:
        """MLflow's experiment of the daily runs."""
        return self.model.removesuffix("-interest")

    @property
    def runs_folder(self) -> Path:
        """One folder for each daily run: snapshot, pairs, candidate model, judgement."""
        return self.home / "runs"

    @property
    def models_folder(self) -> Path:
        """Registered models fetched from MLflow, one folder a version."""
        return self.home / "models"

    @property
    def archive_folder(self) -> str:
        """Where events older than ``hot_days`` are kept as Parquet."""
        return self.archive or str(self.home / "archive")

    @property
    def logs_folder(self) -> Path:
        """Logs of the local servers."""
        return self.home / "logs"

    @property
    def bench_folder(self) -> Path:
        """Results of ``make bench``, one JSON Lines file a target."""
        return self.home / "bench"
