"""MLflow: one run for each daily training, and the registered model with its champion."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearline.errors import ModelError, StackError
from nearline.settings import Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient

CHAMPION = "champion"
MOVED_BY, MOVED_BECAUSE = "nearline.moved_by", "nearline.moved_because"
"""Tags of a version: who moves the alias may say so there, and it is written to the ledger of promotions."""
ABSENT = "RESOURCE_DOES_NOT_EXIST"
"""What MLflow answers where there is no such run, model or version; its other errors say nothing about that."""
NO_CHAMPION = (ABSENT, "INVALID_PARAMETER_VALUE")
"""What MLflow answers where there is no such model, or no such alias of it."""
MODEL_DIGEST = "nearline.model_digest"
"""Tag of a version: digest of the model folder that it was made from."""
REQUEST_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
"""MLflow's own variable, in seconds; it is read at each request."""
REQUEST_SECONDS, TRANSFER_SECONDS = 10, 120
"""How long to wait for an answer: `publish` asks while the nearline job waits for it, and a model passes through the
tracking server, which answers when its own store has all of it."""
JUDGEMENT = "judgement.json"
"""What `judge` leaves with the MLflow run."""
PACKAGE = Path(__file__).parents[1]
"""The package nearline: a registered model takes it along, as no package index has it."""
PYFUNC_NEEDS = ("numpy", "pandas", "safetensors", "tokenizers", "torch", "transformers")
"""What a registered model asks for beside MLflow, in the versions it was made with."""

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
    os.environ.setdefault(REQUEST_TIMEOUT, str(REQUEST_SECONDS))
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # with the password that is in it
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


@contextmanager
def _answered() -> Iterator[None]:
    """Tell what MLflow's client raises as one error, which names the server and no password."""
    import mlflow
    from requests.exceptions import RequestException

    try:
        yield
    except (mlflow.exceptions.MlflowException, RequestException) as problem:
        address, said = (re.sub(r"//\S*@", "//", text) for text in (mlflow.get_tracking_uri(), str(problem)))
        raise StackError(
            f"Expected MLflow at {address} to do as asked, saw {' '.join(said.split())[:300]}. "
            "Fix: start it with `make up`, or correct NEARLINE_MLFLOW_URI; where it runs, its log says more."
        ) from None


class TrainingRun:
    """The MLflow run of one daily training, found again by name from each of its jobs."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.client = client
        self.run_id = run_id

    @classmethod
    def named(cls, settings: Settings, name: str) -> TrainingRun:
        """Start the run, or go on with the one of that name."""
        client = connect(settings)
        with _answered():
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
        with _answered():
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

    @_answered()
    def log_parameters(self, values: Mapping[str, Any]) -> None:
        """Log parameters; where there is a value already it stays, as MLflow keeps parameters for good."""
        from mlflow.entities import Param

        known = self.client.get_run(self.run_id).data.params
        fresh = [Param(key, said) for key, said in _as_params(values).items() if key not in known]
        if fresh:
            self.client.log_batch(self.run_id, params=fresh)

    @_answered()
    def log_metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log figures of a step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.run_id, metrics=[Metric(key, float(v), now, step) for key, v in values.items()])

    @_answered()
    def log_dict(self, content: Mapping[str, Any], name: str) -> None:
        """Keep a JSON file with the run."""
        self.client.log_dict(self.run_id, dict(content), name)

    @_answered()
    def log_figure(self, figure: Figure, name: str) -> None:
        """Keep a picture with the run."""
        self.client.log_figure(self.run_id, figure, name)

    @_answered()
    def tag(self, **values: str) -> None:
        """Set tags."""
        for key, value in values.items():
            self.client.set_tag(self.run_id, f"nearline.{key}", value)

    @_answered()
    def finish(self, status: str = "FINISHED") -> None:
        """End the run: FINISHED, FAILED or KILLED."""
        self.client.set_terminated(self.run_id, status)

    @_answered()
    def register(self, name: str, model: Path, tags: Mapping[str, str]) -> int:
        """Log the model folder as a pyfunc with signature and input example, and register it as ``name``; its version.

        Running it again for the same run and the same model returns the version that is there; another model of the
        run is another version. The model takes the package nearline along, and says which libraries it needs.
        """
        import mlflow
        import pandas as pd
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, DataType, Schema
        from mlflow.types.schema import Array

        digest = _digest(model)
        for version in self.client.search_model_versions(f"name = '{name}' and run_id = '{self.run_id}'"):
            if version.tags.get(MODEL_DIGEST) == digest and version.status == "READY":
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
        with _patience(), mlflow.start_run(run_id=self.run_id):
            logged = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(Path(__file__).with_name("interest_pyfunc.py")),
                artifacts={"model": str(model)},
                signature=signature,
                input_example=example,
                code_paths=[str(PACKAGE)],
                # Without the build's own part, such as +cpu: the index has none of that name.
                pip_requirements=[f"{name}=={installed(name).partition('+')[0]}" for name in PYFUNC_NEEDS],
            )
        version = mlflow.register_model(logged.model_uri, name, tags={**tags, MODEL_DIGEST: digest})
        return int(version.version)


@dataclass(frozen=True)
class Champion:
    """The version that the alias champion points to, and the note of who moved it there."""

    version: int
    run_id: str
    moved_by: str | None = None
    moved_because: str | None = None
    #: Whether that is a note for this move, see `leave_note`, and no lasting description of the version.
    has_note: bool = False


def champion(settings: Settings) -> Champion | None:
    """What the alias champion points to; None: there is no such alias.

    Asked all the time, so by one plain question, as importing MLflow takes seconds. What that cannot do, such as a
    store without a server or a login of another kind, is left to MLflow's own client.

    Raises
    ------
    StackError
        When the server does not answer.
    """
    asked = _ask_plainly(settings)
    if asked is None:
        return _ask_client(settings)
    if "model_version" not in asked:
        return None
    found = asked["model_version"]
    tags = {tag["key"]: tag.get("value", "") for tag in found.get("tags", [])}
    return _champion(found["version"], found.get("run_id", ""), tags, found.get("description", ""))


def _ask_plainly(settings: Settings) -> dict[str, Any] | None:
    """MLflow's answer over HTTP, {} where there is no such alias; None: its client must ask."""
    address = urllib.parse.urlsplit(tracking_uri(settings))
    if address.scheme not in ("http", "https"):
        return None
    question = urllib.parse.urlencode({"name": settings.model, "alias": CHAMPION})
    host = address.netloc.rpartition("@")[2]
    path = f"{address.path.rstrip('/')}/api/2.0/mlflow/registered-models/alias"
    url = urllib.parse.urlunsplit((address.scheme, host, path, question, ""))
    request = urllib.request.Request(url, headers=_login(address))
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as problem:
        with suppress(ValueError):
            if json.load(problem).get("error_code") in NO_CHAMPION:
                return {}
    except (OSError, ValueError):
        pass  # nobody there, or a certificate of their own: the client knows what to say and which settings there are
    return None


def _login(address: urllib.parse.SplitResult) -> dict[str, str]:
    """The header that MLflow's client would send, from its own variables or the address."""
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    user = os.environ.get("MLFLOW_TRACKING_USERNAME") or urllib.parse.unquote(address.username or "")
    if not user:
        return {}
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD") or urllib.parse.unquote(address.password or "")
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def _ask_client(settings: Settings) -> Champion | None:
    client = connect(settings)
    from mlflow.exceptions import MlflowException

    with _answered():
        try:
            found = client.get_model_version_by_alias(settings.model, CHAMPION)
        except MlflowException as problem:
            if problem.error_code in NO_CHAMPION:
                return None
            raise
    return _champion(found.version, found.run_id, found.tags, found.description)


def _champion(version: str | int, run_id: str | None, tags: Mapping[str, str], description: str | None) -> Champion:
    because = tags.get(MOVED_BECAUSE) or description or None
    has_note = bool(tags.keys() & {MOVED_BY, MOVED_BECAUSE})
    return Champion(int(version), run_id or "", tags.get(MOVED_BY) or None, because, has_note)


def leave_note(settings: Settings, version: int, by: str, because: str) -> None:
    """Say on a version who is about to move the alias to it and why, for whoever has to finish what that begins."""
    client = connect(settings)
    with _answered():
        for key, value in ((MOVED_BY, by), (MOVED_BECAUSE, because)):
            client.set_model_version_tag(settings.model, str(version), key, value)


def move_alias(settings: Settings, version: int) -> None:
    """Make ``version`` the champion."""
    client = connect(settings)
    with _answered():
        client.set_registered_model_alias(settings.model, CHAMPION, str(version))


def take_note_away(settings: Settings, version: int) -> None:
    """Remove the note of a move that is in the ledger now: it is not the next one's."""
    client = connect(settings)
    with _answered():
        for key in client.get_model_version(settings.model, str(version)).tags.keys() & {MOVED_BY, MOVED_BECAUSE}:
            client.delete_model_version_tag(settings.model, str(version), key)


def read_judgement(settings: Settings, run_id: str) -> dict[str, Any] | None:
    """What `judge` left with an MLflow run; None: it did not judge it, or there is no such run.

    Raises
    ------
    StackError
        When the server does not answer.
    """
    client = connect(settings)
    import mlflow

    with _answered():
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


def version_name(version: int, run_id: str) -> str:
    """Name of what is kept of a version: another MLflow, and another registered model, has a version 1 too."""
    return f"{version}-{run_id}"


def text_vectors_of_version(settings: Settings, version: int, run_id: str) -> Path:
    """Where the text vectors are kept that a version's own text model gives."""
    return settings.home / "text_vectors" / f"version-{version_name(version, run_id)}"


def fetch_model(settings: Settings, version: int, run_id: str) -> Path:
    """Folder of a registered version, fetched once; where it is there MLflow is not asked.

    Parameters
    ----------
    run_id
        The MLflow run that the version is to come from: as the alias says, or as the database has it.

    Raises
    ------
    ModelError
        When the registry has no such version, or one of another run.
    StackError
        When the server does not answer.
    """
    folder = settings.models_folder / version_name(version, run_id)
    if folder.exists():
        return folder
    client = connect(settings)
    import mlflow

    settings.models_folder.mkdir(parents=True, exist_ok=True)
    # Beside its place, so that the last step is one rename; containers that share the place have the same process ids.
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=settings.models_folder))
    try:
        found = _run_of(client, settings.model, version)
        if found != run_id:
            raise ModelError(
                f"Expected version {version} of {settings.model} to come from the MLflow run {run_id}, saw {found}. "
                "Fix: set NEARLINE_MLFLOW_URI and NEARLINE_MODEL to where this database was filled from, or use "
                "another database."
            )
        with _patience(), _answered():
            got = mlflow.artifacts.download_artifacts(
                artifact_uri=f"models:/{settings.model}/{version}", dst_path=str(partial)
            )
        with suppress(OSError):  # another process was first
            (Path(got) / "artifacts" / "model").rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    if not folder.exists():
        raise ModelError(
            f"Expected the files of version {version} of {settings.model} in MLflow, saw none. "
            f"Fix: restore them, or move the alias {CHAMPION} to another version."
        )
    if not (folder / "model.json").exists():
        raise ModelError(f"{folder}: expected model.json, saw none. Fix: delete the folder and try again.")
    return folder


def _run_of(client: MlflowClient, model: str, version: int) -> str:
    """The MLflow run that a version came from; "": of none."""
    import mlflow

    with _answered():
        try:
            return client.get_model_version(model, str(version)).run_id or ""
        except mlflow.exceptions.MlflowException as problem:
            if problem.error_code != ABSENT:
                raise
            raise ModelError(
                f"Expected version {version} of {model} in MLflow, saw {ABSENT}. Fix: run the daily training."
            ) from None


def _as_params(values: Mapping[str, Any]) -> dict[str, str]:
    """As MLflow keeps them: text, not longer than it takes."""
    return {key: str(value)[:6000] for key, value in values.items()}


@contextmanager
def _patience() -> Iterator[None]:
    """Wait longer for answers: models are moved. MLflow has one variable for both, and no argument."""
    usual = os.environ.get(REQUEST_TIMEOUT, str(REQUEST_SECONDS))
    os.environ[REQUEST_TIMEOUT] = str(max(int(usual), TRANSFER_SECONDS))
    try:
        yield
    finally:
        os.environ[REQUEST_TIMEOUT] = usual


def _digest(folder: Path) -> str:
    """SHA-256 of a folder: of the names of its files and what is in them."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()
