"""Language models small enough to be made and trained inside a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertConfig, BertModel, BertTokenizerFast

from nearline.core.behaviour import Ledger, make_ledger
from nearline.core.split import window_rows
from nearline.core.transitions import READINGS, transition_table
from nearline.models.training_data import TrainingData, text_pairs

THEMES = {"hiking": "boots trail mountain tent", "baking": "oven bread flour cake", "music": "guitar drum song chord"}
ITEMS_A_THEME = 8
KINDS = {"view": 1.0, "purchase": 5.0, "dislike": -3.0, "search": 1.0}
DAY = 86400.0


def tiny_encoder(folder: Path) -> Path:
    """A BERT of two layers, 32 wide, that knows the words of `THEMES`."""
    import torch

    torch.manual_seed(0)
    words = sorted({word for theme, text in THEMES.items() for word in [theme, *text.split()]})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *"0123456789"]
    tokenizer = Tokenizer(WordPiece({word: code for code, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    fast = BertTokenizerFast(tokenizer_object=tokenizer)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def catalogue() -> tuple[list[str], list[str]]:
    """Item ids and what they say; the newest item of each theme is met by nobody."""
    ids, texts = [], []
    for theme, words in THEMES.items():
        for number in range(ITEMS_A_THEME):
            ids.append(f"{theme}-{number}")
            texts.append(f"{theme} {words.split()[number % 4]} {number}")
    return ids, texts


def small_world(people: int = 40, seed: int = 0) -> Ledger:
    """People who stay within one theme, meet its items in order, and search for its words now and then."""
    random = np.random.default_rng(seed)
    rows: list[tuple[str, str | None, str, str | None, float]] = []
    for person in range(people):
        theme = list(THEMES)[person % len(THEMES)]
        start = random.uniform(0, 20 * DAY)
        for step, number in enumerate(random.permutation(ITEMS_A_THEME - 1)):
            at = start + step * DAY
            if step % 3 == 0:
                rows.append((f"u{person}", None, "search", theme, at - 60.0))
            rows.append((f"u{person}", f"{theme}-{number}", "view", None, at))
    users, items, kinds, texts, times = zip(*rows, strict=True)
    return make_ledger(
        user_ids=users,
        item_ids=items,
        kinds=kinds,
        texts=texts,
        times=np.array(times),
        catalogue=catalogue()[0],
        kind_weights=KINDS,
    )


def training_data(ledger: Ledger, cut: float = 20 * DAY, inner_cut: float = 16 * DAY) -> TrainingData:
    """What a day's training gets."""
    ids, texts = catalogue()
    table = transition_table(ledger.before(inner_cut))
    pairs = ([ids[i] for i in table.item], [ids[i] for i in table.next_item], table.weight.astype(np.float64))
    queries = [(theme, f"{theme}-{number}", 1.0) for theme in THEMES for number in range(4)]
    asked = ([q for q, _, _ in queries], [i for _, i, _ in queries], np.ones(len(queries)))
    return TrainingData(
        item_ids=ids,
        texts=texts,
        ledger=ledger,
        inner=ledger.time < inner_cut,
        past=ledger.time < cut,
        inner_end=inner_cut,
        end=cut,
        validation=window_rows(ledger, inner_cut, cut, 1000, 7),
        pairs=text_pairs(ids, texts, pairs, asked),
        inner_transitions={reading: transition_table(ledger.before(inner_cut), reading) for reading in READINGS},
    )
