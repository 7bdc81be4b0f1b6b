"""Encoding a catalogue: our text model against SentenceTransformer.encode, same weights, same texts, same run.

And what the precision that it chose for this CPU costs in ranking. On the built-in world, or on your data:
make bench-encode DATA=folder
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from figure import Figure

import make_world
from benchmarks.quality.data import QualityData
from nearline.core.behaviour import Ledger
from nearline.core.split import cut_time
from nearline.core.transitions import transition_table
from nearline.models.judgement import Test, figures, plain_scores
from nearline.models.text_model import MAX_TOKENS, TextModel, text_model_folder, use_threads
from nearline.settings import Settings

TEXTS, ROUNDS, SEED = 400, 5, 7
MOST_ITEMS = 1500
"""Of the catalogue, those that people met most: a ranking of so many takes a minute to read in float32."""
PEER_BATCHES = (32, 64, 128)
RATIO, NDCG_KEPT = 2.0, 0.98
"""Hoped for: times as fast as the peer, and at least this part of the NDCG@10 of float32."""


def measure(settings: Settings) -> Iterator[Figure]:
    """Texts a second, the median of rounds that alternate, so that a slow minute of the machine slows both."""
    from sentence_transformers import SentenceTransformer

    use_threads()
    data = _data(settings)
    drawn = np.random.default_rng(SEED).permutation(len(data.texts))[:TEXTS]
    texts = [data.texts[row] for row in drawn]
    folder = text_model_folder(settings.text_model)
    ours, exact = TextModel.load(folder), TextModel.load(folder, precision="float32")
    peer = SentenceTransformer(folder, device="cpu")
    peer.max_seq_length = MAX_TOKENS

    def encode_peer(batch: int, count: int = TEXTS) -> np.ndarray:
        return np.asarray(peer.encode(texts[:count], batch_size=batch, show_progress_bar=False))

    cosine = _smallest_cosine(ours.encode(texts), encode_peer(PEER_BATCHES[0]))
    best = min(PEER_BATCHES, key=lambda batch: _seconds(lambda: encode_peer(batch, TEXTS // 3)))
    speeds = np.array(
        [
            (len(texts) / _seconds(lambda: ours.encode(texts)), len(texts) / _seconds(lambda: encode_peer(best)))
            for _ in range(ROUNDS)
        ]
    )
    ours_speed, peer_speed = (float(speed) for speed in np.median(speeds, axis=0))
    context = {"data": data.name, "precision": ours.precision, "tokens_at_most": MAX_TOKENS, "seed": SEED}
    yield Figure(
        name="encode_texts_per_second",
        value=ours_speed,
        unit="texts/s",
        better="higher",
        target=round(RATIO * peer_speed, 1),
        reference=("SentenceTransformer.encode", peer_speed),
        context={
            **context,
            "texts": len(texts),
            "peer_batch": best,
            "smallest_cosine": round(cosine, 5),
            "ratio_of_each_round": [round(float(one / other), 2) for one, other in speeds],
        },
    )
    chosen, ledger = _most_met(data.ledger)
    test = Test.of(ledger, cut_time(ledger.time, settings.holdout_share), SEED)
    slow, seconds = _vectors(exact, data, chosen)
    expected, context = _ndcg(test, slow), {**context, "items": len(chosen), "rows": len(test.window)}
    # int8 is what was not chosen: weights and activations of linear layers, scaled anew for each batch.
    exact.encoder = torch.ao.quantization.quantize_dynamic(exact.encoder, {torch.nn.Linear}, torch.qint8)
    for name, model in (("encode_ndcg_at_10", ours), ("encode_ndcg_at_10_in_int8", exact)):
        quick, taken = _vectors(model, data, chosen)
        yield Figure(
            name=name,
            value=_ndcg(test, quick),
            unit="NDCG@10",
            better="higher",
            target=round(NDCG_KEPT * expected, 4),
            reference=("the same vectors in float32", expected),
            context={
                **context,
                "precision": ours.precision if model is ours else "int8",
                "texts_per_second": round(len(chosen) / taken, 1),
                "texts_per_second_in_float32": round(len(chosen) / seconds, 1),
                "smallest_cosine": round(_smallest_cosine(quick[chosen], slow[chosen]), 5),
            },
        )


def _vectors(model: TextModel, data: QualityData, chosen: np.ndarray) -> tuple[np.ndarray, float]:
    """Vectors of the catalogue, float32 (items, width), of which only the chosen are read; seconds that this took."""
    vectors = np.zeros((len(data.texts), model.width), np.float32)
    began = time.perf_counter()
    vectors[chosen] = model.encode([data.texts[row] for row in chosen])
    return vectors, time.perf_counter() - began


def _data(settings: Settings) -> QualityData:
    """The folder DATA, which make hands on, or else the built-in world."""
    if given := os.environ.get("DATA"):
        return QualityData.load(Path(given))
    folder = settings.home / "world"
    sizes = f"--items 1000 --people 300 --days 60 --seed {SEED} --until 2026-01-01T00:00:00Z"
    make_world.main(["--out", str(folder), *sizes.split()])
    return QualityData.load(folder)


def _most_met(ledger: Ledger) -> tuple[np.ndarray, Ledger]:
    """Rows of the `MOST_ITEMS` items met most, and the events with them."""
    met = np.bincount(ledger.item[ledger.item >= 0], minlength=len(ledger.items))
    chosen = np.sort(np.argsort(-met, kind="stable")[:MOST_ITEMS])
    return chosen, ledger.only(np.isin(ledger.item, chosen))


def _ndcg(test: Test, vectors: np.ndarray) -> float:
    """Of the mean of the last items' vectors as interest: what the vectors are worth without any training."""
    scores = plain_scores(test, vectors, transition_table(test.window.ledger.before(test.cut)))["untuned_text"]
    return figures(test, scores)["all"]["ndcg"]


def _smallest_cosine(some: np.ndarray, other: np.ndarray) -> float:
    norms = np.linalg.norm(some, axis=1) * np.linalg.norm(other, axis=1)
    return float(((some * other).sum(1) / norms).min())


def _seconds(encode: Callable[[], object]) -> float:
    began = time.perf_counter()
    encode()
    return time.perf_counter() - began
