"""The interest model as MLflow loads it anywhere: rows of behaviour in, interest vectors out.

    model = mlflow.pyfunc.load_model("models:/nearline-interest@champion")
    model.predict(pandas.DataFrame({"user_id": ["u1"], "events": ['[{"kind": "search", "text": "tents", ...}]']}))

MLflow reads this file itself ("models from code") and finds the nearline package among the model's own files, so it
needs nothing pickled and nothing installed but the libraries that the model names.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from nearline.core.behaviour import QUERY_CHARACTERS, History
from nearline.core.interest import DIM, TRENDS
from nearline.errors import InputError
from nearline.models.interest_model import InterestModel


class InterestPyfunc(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """`InterestModel` behind MLflow's ``predict``."""

    def load_context(self, context: Any) -> None:
        """Load the model folder that was registered with this file."""
        self.model = InterestModel.load(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Interest vectors of people.

        Parameters
        ----------
        model_input
            Columns user_id and events; events is a JSON array, oldest first, of objects with ``kind``,
            ``occurred_at`` (ISO 8601) and either ``text`` (a query) or ``item_id`` with ``item_text``, as made by
            `nearline.core.item_text.item_text`; a comment has both.

        Returns
        -------
        DataFrame
            Columns user_id and interest, a list of 128 numbers; for a person without events a newcomer's. Not scaled to
            a catalogue, as those in Postgres are: that changes no order.
        """
        histories = [self._history(events) for events in model_input["events"]]
        interests = self.model.interests(histories)
        return pd.DataFrame({"user_id": model_input["user_id"].to_numpy(), "interest": interests.tolist()})

    def _history(self, text: str) -> History:
        try:
            events = [event for event in _parsed(text) if _says(event)]
            kinds = [event["kind"] for event in events]
            times = [datetime.fromisoformat(event["occurred_at"]).timestamp() for event in events]
            says = [event.get("item_text") or event["text"][:QUERY_CHARACTERS] for event in events]
            comments = [row for row, event in enumerate(events) if event.get("item_text") and _words(event)]
            words = [events[row]["text"][:QUERY_CHARACTERS] for row in comments]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
            raise InputError(
                "events: expected a JSON array of objects with kind, occurred_at and text or item_text, "
                f"saw {str(text)[:200]!r} ({problem!r}). Fix: send such text, and [] for a person without events."
            ) from problem
        if times != sorted(times):
            raise InputError("events: expected the oldest first, saw times that go back. Fix: sort them.")
        if not says:
            return History(np.zeros((0, DIM), np.float32), [])
        ids = [event.get("item_id") or "" for event in events]
        # How an item is doing is no part of what a person did with it.
        vectors = self.model.item_vectors(ids, says, np.zeros((len(ids), TRENDS), np.float32))
        if comments:  # as the nearline job reads them
            vectors[comments] = (vectors[comments] + self.model.query_vectors(words)) / 2
        return History(vectors, kinds)


def _parsed(text: str) -> list[dict[str, Any]]:
    events = json.loads(text)
    if not isinstance(events, list):
        raise ValueError(f"not an array but {type(events).__name__}")
    for event in events:
        if not isinstance(event, dict):
            raise ValueError(f"not an object: {str(event)[:50]}")
        for name, kinds in {"kind": str, "item_id": str | None, "item_text": str | None, "text": str | None}.items():
            if not isinstance(event.get(name), kinds):
                raise ValueError(f"{name}: not text but {str(event.get(name))[:50]}")
    return events


def _says(event: dict[str, Any]) -> bool:
    """Whether an event is of an item or has words: a search for nothing says nothing."""
    return bool(event.get("item_text") or event["text"].strip())


def _words(event: dict[str, Any]) -> str:
    return (event.get("text") or "").strip()


mlflow.models.set_model(InterestPyfunc())
