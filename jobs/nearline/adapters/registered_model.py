"""The versions of the registered model: made from a model folder, and fetched to be one again."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING

from nearline.adapters.champion_alias import CHAMPION
from nearline.adapters.mlflow_server import ABSENT, answered, connect, patience
from nearline.adapters.training_run import TrainingRun
from nearline.errors import ModelError
from nearline.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL_DIGEST = "nearline.model_digest"
"""Tag of a version: digest of the model folder that it was made from."""
PACKAGE = Path(__file__).parents[1]
"""The package nearline: a registered model takes it along, as no package index has it."""
PYFUNC_NEEDS = ("numpy", "pandas", "safetensors", "tokenizers", "torch", "transformers")
"""What a registered model asks for beside MLflow, in the versions it was made with."""


@answered()
def register(run: TrainingRun, name: str, model: Path, tags: Mapping[str, str]) -> int:
    """Log a model folder with ``run`` as a pyfunc with signature and input example, and register it as ``name``.

    Returns the version. Running it again for the same run and the same model gives the version that is there; another
    model of the run is another one. The model takes the package nearline along, and says which libraries it needs.
    """
    import mlflow
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    digest = _digest(model)
    for version in run.client.search_model_versions(f"name = '{name}' and run_id = '{run.run_id}'"):
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
    with patience(), mlflow.start_run(run_id=run.run_id):
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
        with patience(), answered():
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

    with answered():
        try:
            return client.get_model_version(model, str(version)).run_id or ""
        except mlflow.exceptions.MlflowException as problem:
            if problem.error_code != ABSENT:
                raise
            raise ModelError(
                f"Expected version {version} of {model} in MLflow, saw {ABSENT}. Fix: run the daily training."
            ) from None


def _digest(folder: Path) -> str:
    """SHA-256 of a folder: of the names of its files and what is in them."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()
