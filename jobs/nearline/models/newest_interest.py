"""What a trained behaviour model says after the newest event: from its weights alone, fast, and always the same bits.

It is the last column of `BehaviourModel.forward` for a history without padding. The nearline job needs no more: what
the last block would say of earlier places is not computed, and nothing but torch is imported, as the library that
trains takes longer to import than a minute can spare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch.nn.functional import gelu, layer_norm, linear, scaled_dot_product_attention

from nearline.core.batches import by_same_length
from nearline.core.behaviour import History
from nearline.core.interest import DIM, LATENT, TRENDS

BATCH = 32
"""People computed together: more do not fit into a core's cache, and take longer each."""
ROWS = 8
EPSILON = 1e-5
"""Of the layer norms, GPT-2's own."""


class NewestInterest:
    """Interests from the weights of a behaviour model with GPT-2's blocks.

    Parameters
    ----------
    weights
        Its ``state_dict``.
    shape
        ``layers``, ``heads``, ``block`` and ``history_length``, as in model.json.
    kinds
        Its vocabulary; index 0 is the unknown kind.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor], shape: Mapping[str, Any], kinds: Sequence[str]) -> None:
        self.weights = {name: weight.detach().float() for name, weight in weights.items()}
        self.shape = shape
        self.history_length = int(shape["history_length"])
        self._kind_code = {kind: code for code, kind in enumerate(kinds)}
        self._read = self._gpt2 if shape["block"] == "gpt2" else self._whole_model()
        self._threads = ThreadPoolExecutor(
            torch.get_num_threads(), "interests", initializer=torch.set_num_threads, initargs=(1,)
        )

    def interests(self, histories: Sequence[History]) -> np.ndarray:
        """Interest after the newest event of each history, float32 (n, DIM); of an empty one a newcomer's.

        A history gives the same bits whatever it is computed with, on the same machine: those of one length go
        together, without padding, always a multiple of `ROWS` of them (a product of few rows takes another path), and
        each batch is computed by one thread (several would cut it up by its size).
        """
        interests = np.zeros((len(histories), DIM), dtype=np.float32)
        newest = [history.newest(self.history_length) for history in histories]

        def compute(rows: np.ndarray) -> None:
            filled = np.resize(rows, -(-len(rows) // ROWS) * ROWS)
            interests[rows] = self._batch([newest[row] for row in filled])[: len(rows)]

        list(self._threads.map(compute, by_same_length([len(history) for history in newest], lambda length: BATCH)))
        return interests

    @torch.inference_mode()
    def place_texts(self, text_vectors: np.ndarray) -> np.ndarray:
        """Vectors of texts in the space of items from what they say (n, text width), float32 (n, DIM)."""
        weights = self.weights
        said = torch.from_numpy(np.ascontiguousarray(text_vectors))
        meant = linear((said - weights["text_centre"]) / weights["text_scale"], weights["projection.weight"]).numpy()
        return np.concatenate([meant, np.zeros((len(meant), TRENDS), np.float32)], axis=1)

    @torch.inference_mode()
    def _batch(self, histories: Sequence[History]) -> np.ndarray:
        vectors = np.stack([history.vectors[:, :LATENT] for history in histories])
        kinds = np.array([[self._kind_code.get(kind, 0) for kind in history.kinds] for history in histories], np.int64)
        found: np.ndarray = self._read(torch.from_numpy(vectors), torch.from_numpy(kinds)).numpy()
        return found

    def _gpt2(self, vectors: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        """(n, t, LATENT), (n, t) to (n, DIM); `BehaviourModel.forward` says what each part is for."""
        weights, (count, length) = self.weights, kinds.shape
        words = vectors + weights["kinds.weight"][kinds]
        hidden = torch.cat([weights["opening"].expand(count, 1, LATENT), words], dim=1)
        hidden = hidden + weights["transformer.wpe.weight"][: 1 + length]
        layers = int(self.shape["layers"])
        for layer in range(layers):
            hidden = self._block(hidden, f"transformer.h.{layer}.", only_last=layer == layers - 1)
        state = self._norm(hidden[:, -1], "transformer.ln_f")
        interest = linear(state, weights["output.weight"], weights["output.bias"])
        if length:
            age = torch.arange(length - 1, -1, -1, dtype=torch.float32)
            share = torch.exp(-age / weights["log_span"].exp())
            share = share / share.sum() * weights["kind_share"][kinds]  # (n, t)
            interest = interest + weights["mean_scale"] * (share[:, None, :] @ vectors)[:, 0]
        trends = linear(state, weights["trends.weight"], weights["trends.bias"])
        return torch.cat([interest, trends + weights["newcomer_trends"] / (1 + length)], dim=1)

    def _block(self, hidden: torch.Tensor, name: str, *, only_last: bool) -> torch.Tensor:
        """One of GPT-2's blocks (Radford et al. 2019), on (n, t, LATENT); ``only_last``: the last place's."""
        weights, count = self.weights, len(hidden)
        normed = self._norm(hidden, name + "ln_1")
        # Query, key and value lie beside each other; transformers' Conv1D keeps weights as (in, out).
        attend, bias = weights[name + "attn.c_attn.weight"], weights[name + "attn.c_attn.bias"]
        asking = normed[:, -1:] if only_last else normed
        query = asking @ attend[:, :LATENT] + bias[:LATENT]
        both = normed @ attend[:, LATENT:] + bias[LATENT:]
        key, value = both[..., :LATENT], both[..., LATENT:]
        read = scaled_dot_product_attention(
            self._heads(query), self._heads(key), self._heads(value), is_causal=not only_last
        )
        read = read.transpose(1, 2).reshape(count, -1, LATENT)
        hidden = (hidden[:, -1:] if only_last else hidden) + self._conv(read, name + "attn.c_proj")
        inner = gelu(self._conv(self._norm(hidden, name + "ln_2"), name + "mlp.c_fc"), approximate="tanh")
        return hidden + self._conv(inner, name + "mlp.c_proj")

    def _heads(self, rows: torch.Tensor) -> torch.Tensor:
        heads = int(self.shape["heads"])
        return rows.reshape(len(rows), -1, heads, LATENT // heads).transpose(1, 2)

    def _conv(self, rows: torch.Tensor, name: str) -> torch.Tensor:
        return rows @ self.weights[name + ".weight"] + self.weights[name + ".bias"]

    def _norm(self, rows: torch.Tensor, name: str) -> torch.Tensor:
        return layer_norm(rows, (LATENT,), self.weights[name + ".weight"], self.weights[name + ".bias"], EPSILON)

    def _whole_model(self) -> Any:
        """Other blocks are read by the library that trained them; that costs seconds at the start, and speed."""
        from nearline.models.behaviour_model import BehaviourConfig, BehaviourModel

        model = BehaviourModel(BehaviourConfig(**self.shape))
        model.load_state_dict(self.weights)
        model.eval().requires_grad_(False)

        def read(vectors: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
            newest: torch.Tensor = model(vectors, kinds, torch.ones_like(kinds))[:, -1]
            return newest

        return read
