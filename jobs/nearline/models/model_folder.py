"""The folder that a trained interest model is: what is in it, and what is wrong with it.

model.json (shapes, kinds, choices), behaviour.pt (weights), residuals.npy with residual_item_ids.json, text/, the text
model as transformers saves it, and start.pt, what the next training starts from. A daily run adds transitions.parquet,
counted up to the cut, which the model is judged with, and newest_transitions.parquet, counted up to the newest event,
which is published; a model that was saved before there were both has the first alone.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

from nearline.errors import ModelError

FORMAT = 3
"""A folder of another format is refused."""


UNREADABLE = (OSError, EOFError, KeyError, TypeError, ValueError, RuntimeError, pickle.UnpicklingError)
"""What reading a file of a folder raises where it is missing, cut or of something else."""


def read_description(folder: Path) -> dict[str, Any]:
    """What model.json says: format, dim, behaviour (its shape), max_tokens, kinds, notes.

    Raises
    ------
    ModelError
        If it is missing, broken or of another format.
    """
    try:
        described: dict[str, Any] = json.loads((folder / "model.json").read_text())
        found = described["format"]
    except UNREADABLE as problem:
        raise incomplete(folder, problem) from problem
    if found != FORMAT:
        raise ModelError(f"{folder}: expected format {FORMAT}, saw {found}. Fix: train again.")
    return described


def incomplete(folder: Path, problem: Exception) -> ModelError:
    """The error for a folder that cannot be read."""
    return ModelError(
        f"Expected a complete model in {folder}: {type(problem).__name__}: {problem}. "
        "Fix: run the daily training, or delete the folder so that it is fetched again."
    )
