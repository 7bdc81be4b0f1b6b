"""Train the behaviour model to predict, after each event, an item that the person meets next.

Softmax over every item of the training window (a sample of them where the catalogue is large). Items outside the
window are never negatives: that would rank them last for ever. Searches and dislikes are read and never predicted.
After the best epoch on a later, inner window, that window is learnt too, in one more pass: it holds the news.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from nearline.core.behaviour import Ledger, gap_buckets, run_starts
from nearline.core.interest import DIM
from nearline.core.split import first_interactions
from nearline.models.behaviour_model import BehaviourModel

Log = Callable[[dict[str, float], int], None]
Validate = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class BehaviourTraining:
    """How the behaviour model is trained."""

    #: Most passes over the events.
    epochs: int = 12
    #: Passes without a better validation before training stops.
    patience: int = 3
    #: Passes over everything, the validation window too, after the best epoch.
    final_epochs: int = 1
    #: Stretches of events a step.
    batch: int = 16
    learning_rate: float = 1e-3
    #: Of the learning rate: a step of the projection moves every item, by the sum over hundreds of text dimensions,
    projection_rate: float = 0.2
    #: and one of a residual moves one item, which few steps see.
    residual_rate: float = 5.0
    weight_decay: float = 0.01
    #: Chance that an item goes without its residual in a step, so that its text carries a share.
    residual_dropout: float = 0.3
    #: A catalogue with more trained items than this is sampled.
    full_softmax_items: int = 20_000
    seed: int = 7


class Residuals(torch.nn.Module):
    """What behaviour says about each trained item beyond its text, (items, DIM)."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(count, DIM))


@dataclass
class Stretches:
    """A ledger's events as the model reads them: rows of one person, and what may come next.

    ``low`` and ``high`` (n,) bound, for each event, the rows of ``targets`` that come next: all first meetings at the
    next moment that has one. Equal bounds: nothing comes next.
    """

    ledger: Ledger
    gaps: np.ndarray
    targets: np.ndarray
    low: np.ndarray
    high: np.ndarray
    starts: np.ndarray = field(repr=False)

    @classmethod
    def of(cls, ledger: Ledger) -> Stretches:
        """Prepare a ledger."""
        rows = first_interactions(ledger)
        user_start = run_starts(ledger.user)
        moment_start = run_starts(ledger.user, ledger.time)
        # First row after each event's own moment; rows are sorted by user and time.
        moment_end = np.searchsorted(moment_start, moment_start, side="right")
        low = np.searchsorted(rows, moment_end)
        next_row = np.append(rows, -1)[low]
        same_user = (low < len(rows)) & (ledger.user[next_row] == ledger.user)
        # Of several items at one moment none is first: all are what comes next.
        next_end = np.searchsorted(moment_start, moment_start[next_row], side="right")
        high = np.where(same_user, np.searchsorted(rows, next_end), low)
        gaps = gap_buckets(ledger.time)
        gaps[user_start == np.arange(len(ledger))] = 0
        return cls(ledger, gaps, ledger.item[rows], low, high, np.flatnonzero(user_start == np.arange(len(ledger))))

    def batches(self, length: int, batch: int, random: np.random.Generator) -> Iterator[list[np.ndarray]]:
        """One pass: stretches of at most ``length`` rows, cut at another place each time, similar lengths together."""
        ends = np.append(self.starts[1:], len(self.ledger))
        stretches = []
        for start, end in zip(self.starts, ends, strict=True):
            first = min(int(random.integers(1, length + 1)), end - start) if end - start > length else end - start
            cuts = [start, *range(start + first, end, length), end]
            stretches += [np.arange(a, b) for a, b in pairwise(cuts) if b > a]
        shuffled = [stretches[place] for place in random.permutation(len(stretches))]
        shuffled.sort(key=lambda rows: len(rows) // 8)
        groups = [shuffled[at : at + batch] for at in range(0, len(shuffled), batch)]
        for place in random.permutation(len(groups)):
            yield groups[place]

    def draw_targets(self, random: np.random.Generator) -> np.ndarray:
        """For each event the item to predict, int64 (n,), or -1."""
        drawn = self.low + np.floor(random.random(len(self.low)) * (self.high - self.low)).astype(np.int64)
        return np.where(self.high > self.low, np.append(self.targets, -1)[np.minimum(drawn, len(self.targets))], -1)


class BehaviourTrainer:
    """One training of a behaviour model and the residuals of the items in its window.

    Parameters
    ----------
    model
        Trained in place; ``standardise`` was called.
    item_texts, query_texts
        Text vectors of the whole catalogue (items, text_width) and of the queries (queries, text_width).
    residuals
        Start values (items, DIM): zeros, or the champion's.
    """

    def __init__(
        self,
        model: BehaviourModel,
        item_texts: np.ndarray,
        query_texts: np.ndarray,
        residuals: np.ndarray,
        config: BehaviourTraining,
    ) -> None:
        torch.manual_seed(config.seed)
        self.model = model
        self.config = config
        self.device = next(model.parameters()).device
        self.item_texts = torch.from_numpy(item_texts).to(self.device)
        self.query_texts = torch.from_numpy(query_texts).to(self.device)
        self.residuals = Residuals(len(item_texts)).to(self.device)
        with torch.no_grad():
            self.residuals.weight.copy_(torch.from_numpy(residuals))
        self.seen = np.zeros(len(item_texts), dtype=bool)
        self.random = np.random.default_rng(config.seed)
        network = [parameter for name, parameter in model.named_parameters() if name != "projection.weight"]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": network, "lr": config.learning_rate},
                {"params": model.projection.parameters(), "lr": config.learning_rate * config.projection_rate},
                {"params": self.residuals.parameters(), "lr": config.learning_rate * config.residual_rate},
            ],
            weight_decay=config.weight_decay,
        )

    def epoch(self, stretches: Stretches) -> float:
        """One pass over the events; the mean loss in nats."""
        self.seen[stretches.targets] = True
        trained = np.flatnonzero(self.seen)
        column = np.full(len(self.seen), -1)
        column[trained] = np.arange(len(trained))
        wanted = stretches.draw_targets(self.random)
        total, count = 0.0, 0
        self.model.train()
        for rows in stretches.batches(self.model.config.history_length, self.config.batch, self.random):
            loss, targets = self._loss(stretches, rows, wanted, trained, column)
            if not targets:
                continue
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimiser.step()
            self.optimiser.zero_grad()
            total, count = total + float(loss.detach()) * targets, count + targets
        self.model.eval()
        return total / max(count, 1)

    def _loss(
        self, stretches: Stretches, rows: list[np.ndarray], wanted: np.ndarray, trained: np.ndarray, column: np.ndarray
    ) -> tuple[torch.Tensor, int]:
        ledger, longest = stretches.ledger, max(len(stretch) for stretch in rows)
        flat, place = np.concatenate(rows), _places(rows, longest)
        has_target = wanted[flat] >= 0
        if not has_target.any():
            return torch.zeros(()), 0

        # Item vectors of this step: text, plus residual where it was not dropped. (items, DIM)
        keep = self.random.random(len(self.seen)) >= self.config.residual_dropout
        keep &= self.seen
        mask = torch.from_numpy(keep.astype(np.float32)).to(self.device)[:, None]
        needed, negatives = trained, column
        if len(trained) > self.config.full_softmax_items:
            needed = np.union1d(
                wanted[flat][has_target], self.random.choice(trained, self.config.full_softmax_items, replace=False)
            )
            negatives = np.full(len(self.seen), -1)
            negatives[needed] = np.arange(len(needed))

        def vectors(items: np.ndarray) -> torch.Tensor:
            chosen = torch.from_numpy(items).to(self.device)
            return self.model.project(self.item_texts[chosen]) + self.residuals.weight[chosen] * mask[chosen]

        words = torch.zeros(len(flat), DIM, device=self.device)
        is_item = torch.from_numpy(ledger.item[flat] >= 0).to(self.device)
        items, queries = ledger.item[flat], ledger.query[flat]
        words = words.index_put((is_item,), vectors(items[items >= 0]))
        if (items < 0).any():
            asked = torch.from_numpy(queries[items < 0]).to(self.device)
            words = words.index_put((~is_item,), self.model.project(self.query_texts[asked]))
        where = torch.from_numpy(place).to(self.device)
        grid = torch.zeros(len(rows) * longest, DIM, device=self.device).index_put((where,), words)
        kinds, gaps, real = (torch.zeros(len(rows) * longest, dtype=torch.long, device=self.device) for _ in range(3))
        kinds[where] = torch.from_numpy(ledger.kind[flat]).to(self.device)
        gaps[where] = torch.from_numpy(_gaps_from_start(rows, stretches.gaps)).to(self.device)
        real[where] = 1
        shape = (len(rows), longest)
        hidden = self.model(
            grid.view(*shape, DIM), kinds.view(shape), gaps.view(shape), real.view(shape)
        )  # (n, t, DIM)
        predicted = hidden.reshape(-1, DIM)[where[torch.from_numpy(has_target).to(self.device)]]  # (targets, DIM)
        logits = predicted @ vectors(needed).T  # (targets, trained items)
        truth = torch.from_numpy(negatives[wanted[flat][has_target]]).to(self.device)
        return functional.cross_entropy(logits, truth), int(has_target.sum())


def _places(rows: list[np.ndarray], longest: int) -> np.ndarray:
    """Where each event goes in the padded grid, flattened."""
    return np.concatenate([line * longest + np.arange(len(stretch)) for line, stretch in enumerate(rows)])


def _gaps_from_start(rows: list[np.ndarray], gaps: np.ndarray) -> np.ndarray:
    """Gap buckets as serving sees them: the first event of a stretch has none before it."""
    found: np.ndarray = gaps[np.concatenate(rows)].copy()
    found[np.cumsum([0, *(len(stretch) for stretch in rows[:-1])])] = 0
    return found


def train_behaviour_model(
    trainer: BehaviourTrainer, inner: Ledger, validate: Validate, log: Log, chosen: Callable[[], None], full: Ledger
) -> None:
    """Train on ``inner`` until ``validate`` (higher is better) stops rising, then learn ``full``, which is longer.

    Parameters
    ----------
    log
        Called with the metrics of each epoch and its number.
    chosen
        Called once with the best epoch's weights in place, before ``full`` is seen: the moment to choose anything else
        on the validation window.
    """
    stretches = Stretches.of(inner)
    best, best_state, waited = -1.0, _state(trainer), 0
    epoch = 0
    for epoch in range(trainer.config.epochs):
        began = time.monotonic()
        loss = trainer.epoch(stretches)
        figure = validate()
        log({"behaviour_loss": loss, "validation_ndcg": figure, "epoch_seconds": time.monotonic() - began}, epoch)
        if figure > best:
            best, best_state, waited = figure, _state(trainer), 0
        else:
            waited += 1
        if waited >= trainer.config.patience:
            break
    _restore(trainer, best_state)
    chosen()
    everything = Stretches.of(full)
    for group in trainer.optimiser.param_groups:
        group["lr"] /= 2
    for extra in range(trainer.config.final_epochs):
        log({"behaviour_loss": trainer.epoch(everything)}, epoch + 1 + extra)


def _state(trainer: BehaviourTrainer) -> dict[str, Any]:
    parts: dict[str, Any] = {"model": trainer.model, "residuals": trainer.residuals, "optimiser": trainer.optimiser}
    return {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}


def _restore(trainer: BehaviourTrainer, state: dict[str, Any]) -> None:
    trainer.model.load_state_dict(state["model"])
    trainer.residuals.load_state_dict(state["residuals"])
    trainer.optimiser.load_state_dict(state["optimiser"])
