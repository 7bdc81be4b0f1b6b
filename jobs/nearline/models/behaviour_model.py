"""The behaviour model: a GPT that reads a person's events as a sentence and says what comes next.

A word is an item's or a query's vector, plus what kind of event it was. The vectors are those that are published and
scored: a text vector, centred, scaled and projected, plus for an item a residual learned from behaviour, which is zero
for one never seen. So an item without any event has its place. How much time passed between events is not read: it
earned nothing on any data set.

The interest is the mean of the newest words, faded by position, plus what the transformer adds to it, and what the
items' trends are worth to this person:

    interest = (scale * sum_p share(kind_p) * exp(-p / span) * v_p / sum_p exp(-p / span)  +  W h,   G h + b / (1 + t))

with p = 0 for the newest of t events, h the transformer's last state; b, what newcomers add to the weight of a trend,
is chosen on the validation window, as too few people are new for it to be learnt. Before any step of training this is
"more of what you just took, by what it says", which is far better than a random transformer and is where it starts
from: W and G begin at zero, and the projection at the main axes of the catalogue's texts. The first word of every
sentence is a learned one, so a person without any event has an interest too: what newcomers take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from nearline.core.hyperparameters import BehaviourShape
from nearline.core.interest import LATENT, TRENDS
from nearline.models.blocks import transformer

AXIS_SCALE = 0.1
"""Size of the projection at the start: scores then spread by about 1 over a catalogue."""
FLAT = 0.1
"""Share of the usual spread of a dimension below which the catalogue's texts are taken to be alike in it."""
SMALLEST_AXIS = 1e-3
"""Share of the main axis below which an axis is rounding: few texts, or many alike, have fewer axes than there is room.
"""


@dataclass(frozen=True, kw_only=True)
class BehaviourConfig(BehaviourShape):
    """Shape of a behaviour model, and what it reads."""

    #: Length of a text vector: 384 for MiniLM.
    text_width: int
    #: Kinds of events, the unknown one included.
    kind_count: int
    history_length: int = 50

    def as_dict(self) -> dict[str, Any]:
        """For model.json."""
        return asdict(self)


class BehaviourModel(torch.nn.Module):
    """Events (n, t, LATENT) with kinds (n, t) to the interest before and after each, (n, 1 + t, DIM)."""

    text_centre: torch.Tensor
    text_scale: torch.Tensor
    newcomer_trends: torch.Tensor

    def __init__(self, config: BehaviourConfig) -> None:
        super().__init__()
        self.config = config
        # Without unit variance in each dimension nothing is learnt for many epochs: text vectors share a direction.
        self.register_buffer("text_centre", torch.zeros(config.text_width))
        self.register_buffer("text_scale", torch.ones(config.text_width))
        self.register_buffer("newcomer_trends", torch.zeros(TRENDS))
        self.projection = torch.nn.Linear(config.text_width, LATENT, bias=False)
        self.kinds = torch.nn.Embedding(config.kind_count, LATENT)
        self.opening = torch.nn.Parameter(torch.empty(LATENT))
        self.transformer = transformer(config)
        # GPT-2's blocks have a drop-out of their own around attention and network, Llama's only in the attention.
        self.dropout = torch.nn.Dropout(config.dropout if config.block == "llama" else 0.0)
        self.output = torch.nn.Linear(LATENT, LATENT)
        self.trends = torch.nn.Linear(LATENT, TRENDS)
        self.kind_share = torch.nn.Parameter(torch.ones(config.kind_count))
        self.log_span = torch.nn.Parameter(torch.tensor(1.4))
        self.mean_scale = torch.nn.Parameter(torch.tensor(1.0))
        for layer in (self.output, self.trends):
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
        for weight in (self.projection.weight, self.kinds.weight, self.opening):
            torch.nn.init.normal_(weight, std=0.02)

    def weigh_kinds(self, weights: Sequence[float]) -> None:
        """Have what speaks against an item push away from the start: a kind may be too rare to learn that."""
        with torch.no_grad():
            self.kind_share.copy_(torch.where(torch.tensor(weights) < 0, -1.0, 1.0))

    def start_from(self, text_vectors: torch.Tensor) -> None:
        """Take centre, scale and main axes from the catalogue's text vectors (n, text_width)."""
        self.text_centre.copy_(text_vectors.mean(0))
        spread = text_vectors.std(0, unbiased=False)
        flat = spread <= max(FLAT * float(spread.median()), 1e-6)
        # Later texts may differ where these are alike: by that they must not lie far away from everything.
        self.text_scale.copy_(spread.masked_fill(flat, 1.0))
        standard = (text_vectors - self.text_centre) / spread.clamp(min=1e-6)
        _, sizes, axes = torch.linalg.svd(standard, full_matrices=False)
        sizes = sizes[:LATENT] / len(standard) ** 0.5
        count = 0 if flat.all() else int((sizes > SMALLEST_AXIS * sizes[0]).sum())
        # Half-way to white: the first few axes would otherwise be all that counts.
        with torch.no_grad():
            self.projection.weight.zero_()
            self.projection.weight[:count].copy_(AXIS_SCALE * axes[:count] / sizes[:count, None].sqrt())

    def project(self, text_vectors: torch.Tensor) -> torch.Tensor:
        """Meaning of texts (n, text_width), (n, LATENT)."""
        projected: torch.Tensor = self.projection((text_vectors - self.text_centre) / self.text_scale)
        return projected

    def forward(self, vectors: torch.Tensor, kinds: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Interest before the first event and after each, (n, 1 + t, DIM).

        ``mask`` (n, t) is 1 for an event and 0 for padding at the end.
        """
        count = len(mask)
        words = vectors + self.kinds(kinds)  # (n, t, LATENT)
        words = torch.cat([self.opening.expand(count, 1, LATENT), words], dim=1)
        mask = torch.cat([mask.new_ones(count, 1), mask], dim=1)
        read = self.transformer(inputs_embeds=self.dropout(words), attention_mask=mask)
        hidden = self.dropout(read.last_hidden_state)  # (n, 1 + t, LATENT)
        means = torch.cat([vectors.new_zeros(count, 1, LATENT), self._faded_means(vectors, kinds)], dim=1)
        events = torch.arange(hidden.shape[1], device=hidden.device)[:, None]  # how many there are before each place
        trends = self.trends(hidden) + self.newcomer_trends / (1 + events)
        return torch.cat([self.output(hidden) + self.mean_scale * means, trends], dim=2)

    def _faded_means(self, vectors: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        """Mean of the words up to each, the newest weighing most: (n, t, LATENT)."""
        place = torch.arange(vectors.shape[1], device=vectors.device)
        age = (place[:, None] - place[None, :]).to(vectors.dtype)  # (t, t), of the column seen from the row
        weight = torch.where(age >= 0, torch.exp(-age.clamp(min=0) / self.log_span.exp()), torch.zeros_like(age))
        weight = weight / weight.sum(1, keepdim=True)
        means: torch.Tensor = weight @ (vectors * self.kind_share[kinds][..., None])
        return means
