"""Text vectors on disk: each text read once, whatever stops in between, and no more in memory than is asked for."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import tiny_models
from nearline.models import kept_vectors as module
from nearline.models.kept_vectors import kept_vectors, link_vectors
from nearline.models.text_model import TextModel

WIDTH = 384


class Encoder:
    """Vectors that follow from the text alone; remembers what it read, and stops at a text that is not there."""

    def __init__(self, stops_at: str | None = None) -> None:
        self.stops_at = stops_at
        self.read: list[list[str]] = []

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        if self.stops_at in texts:
            raise KeyboardInterrupt
        self.read.append(list(texts))
        return vectors_of(texts)


def vectors_of(texts: Sequence[str]) -> np.ndarray:
    seeds = [int(hashlib.sha256(text.encode()).hexdigest()[:6], 16) for text in texts]
    return np.array(seeds, np.float32).reshape(-1, 1) + np.arange(WIDTH, dtype=np.float32)


def test_text_vectors_keep_their_order_and_are_read_once(tmp_path: Path) -> None:
    model, calls = TextModel.load(tiny_models.tiny_encoder(tmp_path / "encoder")), []

    def encode(texts: Sequence[str]) -> np.ndarray:
        calls.append(list(texts))
        return model.encode(texts)

    texts = ["hiking tent", "oven", "hiking tent", "drum song chord"]
    assert np.allclose(model.encode(texts)[2], model.encode(["hiking tent"])[0], atol=1e-5)
    kept = kept_vectors(texts, encode, tmp_path / "kept")
    np.testing.assert_allclose(kept, model.encode(texts), atol=1e-6)
    np.testing.assert_allclose(kept_vectors(["oven", "flour"], encode, tmp_path / "kept")[0], kept[1], atol=1e-6)
    assert [len(call) for call in calls] == [3, 1]
    assert kept_vectors([], encode, tmp_path / "none").shape == (0, 32)


@pytest.mark.parametrize("keep", [True, False])
def test_what_is_there_and_what_is_new_come_in_the_order_asked_for(tmp_path: Path, keep: bool) -> None:
    folder, encoder = tmp_path / "kept", Encoder()
    kept_vectors([f"text {n}" for n in range(0, 60, 2)], encoder, folder)
    asked = [f"text {n}" for n in [*range(50), *range(9, 0, -1)]]
    np.testing.assert_array_equal(kept_vectors(asked, encoder, folder, keep=keep), vectors_of(asked))
    assert sorted(encoder.read[1]) == sorted(f"text {n}" for n in range(1, 50, 2))
    np.testing.assert_array_equal(kept_vectors(asked, encoder, folder, keep=keep), vectors_of(asked))
    assert len(encoder.read) == (2 if keep else 3)


def test_what_was_read_before_a_job_was_stopped_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART", 10)
    folder, texts = tmp_path / "kept", [f"text {n}" for n in range(45)]
    last = max(texts, key=lambda text: hashlib.sha1(text.encode()).hexdigest())
    stopped, again = Encoder(stops_at=last), Encoder()
    with pytest.raises(KeyboardInterrupt):
        kept_vectors(texts, stopped, folder)
    np.testing.assert_array_equal(kept_vectors(texts, again, folder), vectors_of(texts))
    assert [len(part) for part in [*stopped.read, *again.read]] == [10, 10, 10, 10, 5]
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_store_that_is_replaced_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old keys with new vectors would be other texts' vectors."""
    folder, texts = tmp_path / "kept", [f"text {n}" for n in range(20)]
    kept_vectors(texts[10:], vectors_of, folder)
    load, others = np.load, [texts]

    def load_and_replace(path: Path, **options: object) -> np.ndarray:
        found = load(path, **options)
        if path.name == "keys.npy" and others:
            kept_vectors(others.pop(), vectors_of, folder)  # another process adds its texts
        return found

    monkeypatch.setattr(np, "load", load_and_replace)
    assert np.array_equal(kept_vectors(texts[10:], vectors_of, folder, keep=False), vectors_of(texts[10:]))


def test_a_new_text_does_not_bring_the_whole_store_into_memory(tmp_path: Path) -> None:
    folder, encoder = tmp_path / "kept", Encoder()
    kept_vectors([f"text {n}" for n in range(20_000)], encoder, folder)
    asked = ["new", *(f"text {n}" for n in range(100))]
    tracemalloc.start()
    try:
        found = kept_vectors(asked, encoder, folder, keep=False)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(found, vectors_of(asked))
    assert peak < 2e6  # the store has 31 MB


def test_a_store_that_is_used_is_not_the_oldest(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    kept_vectors(["a"], vectors_of, folder)
    os.utime(folder, (0, 0))
    kept_vectors(["a"], vectors_of, folder, keep=False)
    assert folder.stat().st_mtime == 0
    kept_vectors(["a"], vectors_of, folder)
    assert folder.stat().st_mtime > 0


@pytest.mark.parametrize("hard_links", [True, False])
def test_two_stores_of_the_same_vectors_go_their_own_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no such thing on this disk")

    run, version = tmp_path / "run" / "text_vectors", tmp_path / "text_vectors" / "version-1"
    link_vectors(run, version)
    assert not version.exists()  # the run has none
    kept_vectors(["a", "b"], vectors_of, run)
    if not hard_links:
        monkeypatch.setattr(os, "link", refuse)
    link_vectors(run, version)
    assert os.path.samefile(run / "vectors.npy", version / "vectors.npy") == hard_links
    kept_vectors(["c"], vectors_of, version)
    link_vectors(run, version)  # the task is cleared
    encoder = Encoder()
    np.testing.assert_array_equal(kept_vectors(["c", "a"], encoder, version), vectors_of(["c", "a"]))
    assert encoder.read == []
    kept_vectors(["a", "c"], encoder, run)
    assert encoder.read == [["c"]]
    assert [path.name for path in version.parent.iterdir()] == ["version-1"]
