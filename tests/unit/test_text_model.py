"""What `TextModel.encode` promises, in each precision that this CPU has."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, T5Config, T5Model

import tiny_models
from nearline.errors import ModelError
from nearline.models.fast_encoder import chosen_precision, has_bfloat16
from nearline.models.text_model import TextModel, by_tokens, text_model_folder

WORDS = " ".join(tiny_models.THEMES.values()).split()
TEXTS = [" ".join(np.random.default_rng(row).choice(WORDS, 1 + row % 30)) for row in range(200)]
PRECISIONS = ["float32", *(["bfloat16"] if has_bfloat16() else [])]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def smallest_cosine(some: np.ndarray, other: np.ndarray) -> float:
    return float(((some * other).sum(1) / np.linalg.norm(some, axis=1) / np.linalg.norm(other, axis=1)).min())


@torch.inference_mode()
def one_by_one(model: TextModel, texts: list[str]) -> np.ndarray:
    return np.concatenate([model(model.tokens([text])).numpy() for text in texts])


def test_auto_is_what_this_cpu_has(encoder: Path) -> None:
    assert TextModel.load(encoder).precision == chosen_precision("auto") == PRECISIONS[-1]


def test_a_precision_that_there_is_not_is_refused(encoder: Path) -> None:
    with pytest.raises(ModelError, match=r"saw 'int3'\. Fix: use auto"):
        TextModel.load(encoder, precision="int3")  # type: ignore[arg-type]


def test_float32_is_the_model_that_is_trained(encoder: Path) -> None:
    model = TextModel.load(encoder, precision="float32")
    np.testing.assert_allclose(model.encode(TEXTS), one_by_one(model, TEXTS), atol=2e-6)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_vector_is_close_to_float32_and_in_its_place(encoder: Path, precision: str) -> None:
    model = TextModel.load(encoder, precision=precision)
    shuffled = [TEXTS[row] for row in np.random.default_rng(1).permutation(len(TEXTS))]
    assert smallest_cosine(model.encode(shuffled), one_by_one(model, shuffled)) >= 0.99


@pytest.mark.parametrize("precision", PRECISIONS)
def test_of_a_model_that_also_writes_the_part_that_reads_is_taken(
    encoder: Path, tmp_path: Path, precision: str
) -> None:
    """As of sentence-t5 and GTR."""
    torch.manual_seed(0)
    shape = T5Config(vocab_size=60, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2)
    T5Model(shape).save_pretrained(tmp_path / "t5")
    AutoTokenizer.from_pretrained(encoder).save_pretrained(tmp_path / "t5")
    first = TextModel.load(tmp_path / "t5", precision="float32")
    first.save(tmp_path / "saved")
    model = TextModel.load(tmp_path / "saved", precision=precision)
    assert smallest_cosine(model.encode(TEXTS), one_by_one(first, TEXTS)) >= 0.99


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_vector_depends_on_nothing_but_its_text(encoder: Path, precision: str) -> None:
    model = TextModel.load(encoder, precision=precision)
    together = model.encode(TEXTS)
    np.testing.assert_allclose(model.encode(TEXTS[::-1])[::-1], together, atol=2e-6)
    np.testing.assert_allclose([model.encode([text])[0] for text in TEXTS[:40]], together[:40], atol=2e-6)
    torch.set_num_threads(1)
    np.testing.assert_allclose(model.encode(TEXTS[::3]), together[::3], atol=2e-6)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_text_without_words_has_a_vector(encoder: Path, precision: str) -> None:
    vectors = TextModel.load(encoder, precision=precision).encode(["", "oven", ""])
    assert np.isfinite(vectors).all()
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors[0], vectors[2])
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3


@pytest.mark.parametrize("precision", PRECISIONS)
def test_vectors_follow_the_weights(encoder: Path, precision: str) -> None:
    model = TextModel.load(encoder, precision=precision)
    before = model.encode(TEXTS[:9])
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    model(model.tokens(TEXTS[:9])).square().mean().backward()
    optimiser.step()
    after = model.encode(TEXTS[:9])
    assert smallest_cosine(after, one_by_one(model, TEXTS[:9])) >= 0.99
    assert np.abs(after - before).max() > 1e-3


def test_a_saved_model_is_float32(encoder: Path, tmp_path: Path) -> None:
    model = TextModel.load(encoder)
    vectors = model.encode(TEXTS[:9])
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    model.save(tmp_path)
    np.testing.assert_array_equal(TextModel.load(tmp_path).encode(TEXTS[:9]), vectors)


def test_the_real_encoder_in_bfloat16() -> None:
    if not has_bfloat16():
        pytest.skip("this CPU has no instructions for bfloat16")
    folder = text_model_folder("minilm")
    texts = ["Single-origin Ethiopian beans by Larkspur, trial size", "手冲咖啡入门", "a", "", " ".join(TEXTS)]
    fast, exact = TextModel.load(folder).encode(texts), TextModel.load(folder, precision="float32").encode(texts)
    assert smallest_cosine(fast, exact) >= 0.99


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 30))
def test_batches_are_of_one_length(lengths: list[int], most: int) -> None:
    batches = list(by_tokens(lengths, most))
    assert sorted(row for rows in batches for row in rows) == [row for row, length in enumerate(lengths) if length]
    for rows in batches:
        (length,) = {lengths[row] for row in rows}
        assert len(rows) == 1 or len(rows) * length <= most
    assert all(lengths[one[0]] <= lengths[next_one[0]] for one, next_one in pairwise(batches))
