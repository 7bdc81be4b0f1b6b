"""Fine-tune the text model on what people take together and on what they took after a search.

Contrastive, with the rest of the batch as negatives (InfoNCE, both directions): two texts of a pair should be closer
to each other than to any other text of the batch. Only the upper layers learn: the lower ones hold the language, and
running them without gradient halves the cost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from nearline.core.hyperparameters import TextTraining
from nearline.models.checkpoint import Checkpoint
from nearline.models.gpu import half_precision
from nearline.models.text_model import TextModel

log = logging.getLogger("nearline.training")
Report = Callable[[dict[str, float], int], None]

KEEP_SECONDS = 60.0
"""What a kill may cost; an encoder with its optimiser's state is three times the encoder to write."""


@dataclass(frozen=True)
class TextPairs:
    """Pairs of texts by position in ``texts``: left (n,), right (n,), and weight (n,) that pairs are drawn by."""

    texts: Sequence[str]
    left: np.ndarray
    right: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.left)


def train_text_model(
    model: TextModel, pairs: TextPairs, config: TextTraining, report: Report, checkpoint: Checkpoint
) -> None:
    """Train in place, on from the checkpoint if there is one. Without pairs or steps the model stays as it is."""
    if not len(pairs) or not config.steps:
        return
    torch.manual_seed(config.seed)
    random = np.random.default_rng(config.seed)
    trained = freeze_lower_layers(model, config.upper_layers)
    optimiser = torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=config.weight_decay)
    warm = max(int(config.steps * config.warm_up), 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warm, (config.steps - step) / max(config.steps - warm, 1))
    )
    tokens = [ids[: config.max_tokens] for ids in model.tokens(pairs.texts)]
    chance = pairs.weight / pairs.weight.sum()
    # No drop-out: so few steps cannot over-fit, and on a CPU it costs a fifth of the time.
    model.eval()
    parts: dict[str, Any] = {"text": model, "optimiser": optimiser, "schedule": schedule}
    first, written = 0, time.monotonic()
    if (kept := checkpoint.read()) is not None:
        for name, part in parts.items():
            part.load_state_dict(kept[name])
        random.bit_generator.state, first = kept["random"], kept["steps"]
        log.info("text tuning goes on after step %d of an earlier try", first)
    for step in range(first, config.steps):
        began = time.monotonic()
        drawn = random.choice(len(pairs), config.batch, p=chance)
        left, right = pairs.left[drawn], pairs.right[drawn]
        read = [tokens[row] for row in np.concatenate([left, right])]
        with half_precision(model.device):
            pooled = model(read)
        vectors = functional.normalize(pooled.float(), dim=1)
        one, other = vectors[: config.batch], vectors[config.batch :]
        loss = contrastive_loss(one, other, left, right, config.temperature)
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        figures = {"text_loss": float(loss.detach())}
        report({**figures, "tokens_per_second": sum(map(len, read)) / (time.monotonic() - began)}, step)
        if time.monotonic() - written >= KEEP_SECONDS:
            states = {name: part.state_dict() for name, part in parts.items()}
            checkpoint.write({**states, "random": random.bit_generator.state, "steps": step + 1})
            written = time.monotonic()
    model.requires_grad_(False)


def contrastive_loss(
    left: torch.Tensor, right: torch.Tensor, left_text: np.ndarray, right_text: np.ndarray, temperature: float
) -> torch.Tensor:
    """InfoNCE in both directions of unit vectors (n, width); ``left_text`` and ``right_text`` (n,) say which text.

    Another pair's right text is no negative where it, or its partner, is one of this pair's own texts.
    """
    logits = left @ right.T / temperature  # (n, n)
    same = (
        (left_text[:, None] == left_text)
        | (right_text[:, None] == right_text)
        | (left_text[:, None] == right_text)
        | (right_text[:, None] == left_text)
    )
    np.fill_diagonal(same, False)
    logits = logits.masked_fill(torch.from_numpy(same).to(logits.device), float("-inf"))
    truth = torch.arange(len(left), device=logits.device)
    return (functional.cross_entropy(logits, truth) + functional.cross_entropy(logits.T, truth)) / 2


def freeze_lower_layers(model: TextModel, upper_layers: int) -> list[torch.nn.Parameter]:
    """Let only the last ``upper_layers`` blocks learn; return their parameters.

    Autograd skips what needs no gradient, so the lower layers run as fast as without training.
    """
    model.requires_grad_(False)
    blocks = next(part for part in model.encoder.modules() if isinstance(part, torch.nn.ModuleList))
    for block in blocks[len(blocks) - min(upper_layers, len(blocks)) :]:
        block.requires_grad_(True)
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
