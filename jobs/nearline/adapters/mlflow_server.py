"""The MLflow tracking server: how it is reached, how long its answers may take, and what its errors become."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nearline.errors import StackError
from nearline.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

ABSENT = "RESOURCE_DOES_NOT_EXIST"
"""What MLflow answers where there is no such run, model or version; its other errors say nothing about that."""
REQUEST_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
"""MLflow's own variable, in seconds; it is read at each request."""
REQUEST_SECONDS, TRANSFER_SECONDS = 10, 120
"""How long to wait for an answer: `publish` asks while the nearline job waits for it, and a model passes through the
tracking server, which answers when its own store has all of it."""

# Importing MLflow takes seconds; only what needs it pays, hence the imports inside functions, here and in its users.


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
def answered() -> Iterator[None]:
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


@contextmanager
def patience() -> Iterator[None]:
    """Wait longer for answers: models are moved. MLflow has one variable for both, and no argument."""
    usual = os.environ.get(REQUEST_TIMEOUT, str(REQUEST_SECONDS))
    os.environ[REQUEST_TIMEOUT] = str(max(int(usual), TRANSFER_SECONDS))
    try:
        yield
    finally:
        os.environ[REQUEST_TIMEOUT] = usual
