"""The alias of the registered model that says which version is to be served, and the note of who moved it."""

from __future__ import annotations

import base64
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nearline.adapters.mlflow_server import ABSENT, answered, connect, tracking_uri
from nearline.settings import Settings

CHAMPION = "champion"
MOVED_BY, MOVED_BECAUSE = "nearline.moved_by", "nearline.moved_because"
"""Tags of a version: who moves the alias may say so there, and it is written to the ledger of promotions."""
NO_CHAMPION = (ABSENT, "INVALID_PARAMETER_VALUE")
"""What MLflow answers where there is no such model, or no such alias of it."""


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

    with answered():
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
    with answered():
        for key, value in ((MOVED_BY, by), (MOVED_BECAUSE, because)):
            client.set_model_version_tag(settings.model, str(version), key, value)


def move_alias(settings: Settings, version: int) -> None:
    """Make ``version`` the champion."""
    client = connect(settings)
    with answered():
        client.set_registered_model_alias(settings.model, CHAMPION, str(version))


def take_note_away(settings: Settings, version: int) -> None:
    """Remove the note of a move that is in the ledger now: it is not the next one's."""
    client = connect(settings)
    with answered():
        for key in client.get_model_version(settings.model, str(version)).tags.keys() & {MOVED_BY, MOVED_BECAUSE}:
            client.delete_model_version_tag(settings.model, str(version), key)
