"""The behaviour model: a GPT that reads a person's events as a sentence and says what comes next.

A word is an item's or a query's vector, plus what kind of event it was, plus how long ago the one before was. The
vectors are those that are published and scored: a text vector, centred, scaled and projected, plus for an item a
residual learned from behaviour, which is zero for one never seen. So an item without any event has its place.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from transformers import GPT2Config, GPT2Model

from nearline.core.behaviour import GAP_BUCKETS
from nearline.core.interest import DIM


@dataclass(frozen=True, kw_only=True)
class BehaviourConfig:
    """Shape of a behaviour model."""

    #: Length of a text vector: 384 for MiniLM.
    text_width: int
    #: Kinds of events, the unknown one included.
    kind_count: int
    history_length: int = 50
    #: More of either over-fits before it helps on data that two cores can read in minutes.
    layers: int = 2
    heads: int = 4
    #: Share of the network's activations switched off in training.
    dropout: float = 0.2

    def as_dict(self) -> dict[str, int | float]:
        """For model.json."""
        return asdict(self)


class BehaviourModel(torch.nn.Module):
    """Events (n, t, DIM) with kinds and gaps (n, t) to the interest after each event (n, t, DIM)."""

    text_centre: torch.Tensor
    text_scale: torch.Tensor

    def __init__(self, config: BehaviourConfig) -> None:
        super().__init__()
        self.config = config
        # Without unit variance in each dimension nothing is learnt for many epochs: text vectors share a direction.
        self.register_buffer("text_centre", torch.zeros(config.text_width))
        self.register_buffer("text_scale", torch.ones(config.text_width))
        self.projection = torch.nn.Linear(config.text_width, DIM, bias=False)
        self.kinds = torch.nn.Embedding(config.kind_count, DIM)
        self.gaps = torch.nn.Embedding(GAP_BUCKETS, DIM)
        self.transformer = GPT2Model(
            GPT2Config(
                vocab_size=1,
                n_positions=config.history_length,
                n_embd=DIM,
                n_layer=config.layers,
                n_head=config.heads,
                resid_pdrop=config.dropout,
                embd_pdrop=config.dropout,
                attn_pdrop=config.dropout,
                bos_token_id=0,
                eos_token_id=0,
                use_cache=False,
            )
        )
        self.output = torch.nn.Linear(DIM, DIM)
        torch.nn.init.normal_(self.projection.weight, std=0.02)
        torch.nn.init.normal_(self.output.weight, std=0.02)
        torch.nn.init.zeros_(self.output.bias)
        torch.nn.init.normal_(self.kinds.weight, std=0.02)
        torch.nn.init.normal_(self.gaps.weight, std=0.02)

    def standardise(self, text_vectors: torch.Tensor) -> None:
        """Take centre and scale from the catalogue's text vectors (n, text_width)."""
        self.text_centre.copy_(text_vectors.mean(0))
        self.text_scale.copy_(text_vectors.std(0, unbiased=False).clamp(min=1e-6))

    def project(self, text_vectors: torch.Tensor) -> torch.Tensor:
        """Place of texts (n, text_width) in the space of interests, (n, DIM)."""
        projected: torch.Tensor = self.projection((text_vectors - self.text_centre) / self.text_scale)
        return projected

    def forward(
        self, vectors: torch.Tensor, kinds: torch.Tensor, gaps: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Interest after each event, (n, t, DIM). ``mask`` (n, t) is 1 for an event and 0 for padding at the end."""
        words = vectors + self.kinds(kinds) + self.gaps(gaps)  # (n, t, DIM)
        hidden = self.transformer(inputs_embeds=words, attention_mask=mask).last_hidden_state
        interests: torch.Tensor = self.output(hidden)
        return interests
