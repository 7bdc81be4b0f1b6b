"""Text vectors kept on disk, so that no text is read twice by the same text model."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

Encode = Callable[[Sequence[str]], np.ndarray]


def kept_vectors(texts: Sequence[str], encode: Encode, folder: Path, *, keep: bool = True) -> np.ndarray:
    """Vectors of texts, float32 (n, width): from ``folder``, and by ``encode`` for texts it has not.

    Parameters
    ----------
    folder
        Belongs to one text model; made when missing. Holds keys.npy, sorted, and vectors.npy, which is read row by
        row and may be larger than memory.
    keep
        Whether to add what was encoded. Processes that run beside each other only read.
    """
    wanted = np.array([hashlib.sha1(text.encode()).hexdigest() for text in texts], dtype="S40")
    try:
        keys = np.load(folder / "keys.npy", allow_pickle=False)
        vectors = np.load(folder / "vectors.npy", allow_pickle=False, mmap_mode="r")
    except FileNotFoundError:
        keys, vectors = np.zeros(0, "S40"), None
    missing, first = np.unique(wanted[~np.isin(wanted, keys)], return_index=True)
    if not len(missing) and vectors is not None:
        return np.asarray(vectors[np.searchsorted(keys, wanted)], dtype=np.float32)
    rows = np.flatnonzero(~np.isin(wanted, keys))[first]
    fresh = encode([texts[row] for row in rows])
    keys = np.concatenate([keys, missing])
    together = fresh if vectors is None else np.concatenate([vectors, fresh])
    order = np.argsort(keys)
    keys, together = keys[order], together[order]
    if keep:
        _write(folder, keys, together)
    found: np.ndarray = together[np.searchsorted(keys, wanted)]
    return found


def _write(folder: Path, keys: np.ndarray, vectors: np.ndarray) -> None:
    draft = folder.with_name(f"{folder.name}.{os.getpid()}")
    draft.mkdir(parents=True, exist_ok=True)
    np.save(draft / "keys.npy", keys)
    np.save(draft / "vectors.npy", vectors)
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
