"""Encoding a catalogue: our text model against SentenceTransformer.encode, same weights, same texts, same run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import numpy as np
from figure import Figure

from nearline.core.item_text import item_text
from nearline.core.world import World
from nearline.models.text_model import MAX_TOKENS, TextModel, text_model_folder, use_threads
from nearline.settings import Settings

TEXTS, ROUNDS, SEED = 1_000, 3, 7


def measure(settings: Settings) -> Iterator[Figure]:
    """Texts a second, the median of rounds that alternate, so that a slow minute of the machine slows both."""
    from sentence_transformers import SentenceTransformer

    use_threads()
    world = World(people=1, items=TEXTS, days=1, seed=SEED, until=datetime(2026, 1, 1, tzinfo=UTC))
    texts = [
        item_text(item["title"], item["description"], item["kind"], json.loads(item["attributes"]), item["language"])
        for item in world.items()
    ]
    folder = text_model_folder(settings.text_model)
    ours = TextModel.load(folder)
    peer = SentenceTransformer(folder, device="cpu")
    peer.max_seq_length = MAX_TOKENS

    def encode_peer() -> np.ndarray:
        return np.asarray(peer.encode(texts, batch_size=32, show_progress_bar=False))

    vectors, expected = ours.encode(texts), encode_peer()
    norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
    cosine = float(((vectors * expected).sum(1) / norms).min())
    speeds: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(ROUNDS):
        speeds["ours"].append(TEXTS / _seconds(lambda: ours.encode(texts)))
        speeds["peer"].append(TEXTS / _seconds(encode_peer))
    yield Figure(
        name="encode_texts_per_second",
        value=float(np.median(speeds["ours"])),
        unit="texts/s",
        better="higher",
        target=round(0.9 * float(np.median(speeds["peer"])), 1),
        reference=("SentenceTransformer.encode", float(np.median(speeds["peer"]))),
        context={"texts": TEXTS, "tokens_at_most": MAX_TOKENS, "smallest_cosine": round(cosine, 5), "seed": SEED},
    )


def _seconds(encode: Callable[[], object]) -> float:
    began = time.perf_counter()
    encode()
    return time.perf_counter() - began
