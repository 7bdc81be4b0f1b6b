"""Text vectors kept on disk, so that no text is read twice by the same text model."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

import numpy as np

Encode = Callable[[Sequence[str]], np.ndarray]

PART = 100_000
"""Texts that are encoded before they are written: a job that is killed loses no more."""


def kept_vectors(texts: Sequence[str], encode: Encode, folder: Path, *, keep: bool = True) -> np.ndarray:
    """Vectors of texts, float32 (n, width): from ``folder``, and by ``encode`` for texts it has not.

    Parameters
    ----------
    folder
        Belongs to one text model; made when missing. Holds keys.npy, sorted, and vectors.npy, which is read row by
        row and may be larger than memory. Its files are never changed, only replaced.
    keep
        Whether to add what was encoded. Processes that run beside each other only read.
    """
    wanted = np.array([hashlib.sha1(text.encode()).hexdigest() for text in texts], dtype="S40")
    if keep:
        _keep_missing(texts, wanted, encode, folder)
    keys, vectors = _read(folder)
    place, known = _find(keys, wanted)
    if vectors is not None and known.all():
        return np.asarray(vectors[place], dtype=np.float32)
    rows = _missing(keys, wanted)
    fresh = encode([texts[row] for row in rows])
    found = np.empty((len(wanted), fresh.shape[1]), np.float32)
    if vectors is not None:
        found[known] = vectors[place[known]]
    found[~known] = fresh[np.searchsorted(wanted[rows], wanted[~known])]
    return found


def link_vectors(folder: Path, target: Path) -> None:
    """Have the text vectors of ``folder``, if there, in ``target`` too, all or none; leave a ``target`` that is there.

    Takes no room where the disk has hard links.
    """
    if target.exists() or not folder.exists():
        return
    draft = target.with_name(f".{target.name}.{uuid4().hex}")
    shutil.copytree(folder, draft, copy_function=_link)
    os.utime(draft)
    try:
        draft.rename(target)
    except OSError:  # another process was first
        shutil.rmtree(draft)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a disk without hard links
        shutil.copyfile(source, target)


def _keep_missing(texts: Sequence[str], wanted: np.ndarray, encode: Encode, folder: Path) -> None:
    rows = _missing(_read(folder)[0], wanted)
    for start in range(0, len(rows), PART):
        part = rows[start : start + PART]
        draft = _draft(folder, wanted[part], encode([texts[row] for row in part]))
        # Nothing is mapped here: a disk that is shared over a network keeps a mapped file, and with it the folder.
        shutil.rmtree(folder, ignore_errors=True)
        try:
            draft.rename(folder)
        except OSError:  # another process was first: what it has not is encoded again when it is needed
            shutil.rmtree(draft)
    if not len(rows) and folder.exists():
        os.utime(folder)  # housekeeping removes what was not used for longest


def _draft(folder: Path, keys: np.ndarray, vectors: np.ndarray) -> Path:
    """What the folder has and, sorted and not there yet, these, in a folder of its own."""
    draft = folder.with_name(f".{folder.name}.{uuid4().hex}")
    draft.mkdir(parents=True)
    kept_keys, kept = _read(folder)
    places = np.searchsorted(kept_keys, keys)
    np.save(draft / "keys.npy", np.insert(kept_keys, places, keys))
    np.save(draft / "vectors.npy", vectors if kept is None else np.insert(kept, places, vectors, axis=0))
    return draft


def _read(folder: Path) -> tuple[np.ndarray, np.ndarray | None]:
    while True:
        try:
            before = folder.stat()
            keys = np.load(folder / "keys.npy", allow_pickle=False, mmap_mode="r")
            vectors = np.load(folder / "vectors.npy", allow_pickle=False, mmap_mode="r")
            after = folder.stat()
        except FileNotFoundError:
            return np.zeros(0, "S40"), None
        if (before.st_ino, before.st_ctime_ns) == (after.st_ino, after.st_ctime_ns):
            return keys, vectors
        # Another process has replaced the folder in between: the keys may be of one, the vectors of the other.


def _find(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each is, int64 (n,), and whether it is there, bool (n,)."""
    place = np.searchsorted(keys, wanted)
    known = place < len(keys)
    known[known] = keys[place[known]] == wanted[known]
    return place, known


def _missing(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """One row, int64 (m,), of each that is not there, sorted by what is wanted."""
    each, first = np.unique(wanted, return_index=True)
    return np.asarray(first[~_find(keys, each)[1]])
