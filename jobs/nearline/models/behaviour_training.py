"""Train the behaviour model to predict, before and after each event, an item that the person meets next.

Softmax over the items of the training window (a sample of them where the catalogue is large), at the trends of the
moment. Items outside the window are no wrong answers: that would rank them last for ever. (An item that nobody had
touched by the moment is one; to leave those out earned nothing.) Searches and dislikes are read and never predicted.

What is kept is the running average of the weights, which is steadier than the weights of any step (Polyak and
Juditsky, 1992).
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from nearline.core.hyperparameters import BehaviourTraining
from nearline.core.interest import LATENT
from nearline.models.behaviour_model import BehaviourModel
from nearline.models.gpu import gpu_utilisation, half_precision
from nearline.models.lessons import Lessons
from nearline.models.process_group import add_up, process_count, process_rank

GPU_STEPS = 20
"""Steps between two looks at how busy the GPU is."""


class Weights(torch.nn.Module):
    """All that is learnt: the model, and what behaviour says about each item beyond its text, (items, LATENT)."""

    def __init__(self, model: BehaviourModel, residuals: torch.Tensor) -> None:
        super().__init__()
        self.model = model
        self.residuals = torch.nn.Parameter(residuals)


class BehaviourTrainer:
    """One training of a behaviour model and the residuals of the items in its window.

    Parameters
    ----------
    model
        Where to start: ``start_from`` was called, or a champion's.
    item_texts, query_texts
        Text vectors of the whole catalogue (items, text_width) and of the queries (queries, text_width).
    residuals
        Start values (items, LATENT): zeros, or the champion's.
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
        self.config = config
        self.device = next(model.parameters()).device
        self.weights = Weights(model, torch.from_numpy(residuals.astype(np.float32)).to(self.device))
        self.average = copy.deepcopy(self.weights).eval().requires_grad_(False)
        self.item_texts = torch.from_numpy(item_texts).to(self.device)
        self.query_texts = torch.from_numpy(query_texts).to(self.device)
        #: Bool (items,): whose residuals count, of what the champion met and of all targets since.
        self.met: np.ndarray = np.abs(residuals).sum(axis=1) > 0
        self.processes, self.rank = process_count(), process_rank()
        self.steps = 0
        #: Of the last pass, a look now and then: empty where there is no GPU.
        self.gpu_utilisation: list[float] = []
        self.random = np.random.default_rng(config.seed)
        network = [parameter for name, parameter in model.named_parameters() if name != "projection.weight"]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": network, "lr": config.learning_rate},
                {"params": model.projection.parameters(), "lr": config.learning_rate * config.projection_rate},
                {"params": [self.weights.residuals], "lr": config.learning_rate * config.residual_rate},
            ]
        )

    def epoch(self, lessons: Lessons) -> float:
        """One pass over the events; the mean loss in nats."""
        self.met[lessons.targets] = True
        trained = np.unique(lessons.targets)
        trends = torch.from_numpy(lessons.trends.tables).to(self.device)
        drawn = lessons.draw(self.random)
        total, count = 0.0, 0
        batches = list(lessons.batches(self.weights.model.config.history_length, self.config.batch, self.random))
        self._begin_pass(len(batches))
        for rows in batches:
            targets = drawn.grid(rows)
            if not (targets >= 0).any():
                continue
            with half_precision(self.device):
                loss = self._loss(lessons, rows, targets, trained, trends)
            here = int((targets >= 0).sum())
            torch.autograd.backward(loss / here)
            loss = self._share(loss.detach())
            torch.nn.utils.clip_grad_norm_(self.weights.model.parameters(), 1.0)
            self.optimiser.step()
            self.optimiser.zero_grad()
            self._average()
            if self.steps % GPU_STEPS == 0 and (busy := gpu_utilisation(self.device)) is not None:
                self.gpu_utilisation.append(busy)
            total, count = total + float(loss), count + here
        self.weights.eval()
        return total / max(count, 1)

    def _begin_pass(self, steps: int) -> None:
        self.weights.train()
        for group in self.optimiser.param_groups:
            # AdamW takes rate * weight_decay off each weight in each step.
            forgotten = self.config.weight_decay * group["lr"] / self.config.learning_rate
            group["weight_decay"] = -math.expm1(-forgotten / max(steps, 1)) / group["lr"] if group["lr"] else 0.0
        self.gpu_utilisation = []
        if self.processes > 1 or self.device.type == "cuda":
            # `state` keeps the random numbers of one process's CPU: others begin each pass from what all know.
            torch.manual_seed(self.config.seed + 1_000_003 * (self.steps * self.processes + self.rank))

    def _loss(
        self, lessons: Lessons, rows: list[np.ndarray], targets: np.ndarray, trained: np.ndarray, trends: torch.Tensor
    ) -> torch.Tensor:
        """Sum of the losses of stretches in nats; ``targets`` (stretches, 1 + t) as of `Drawn.grid`.

        A stretch goes to one process; all know the whole step, so the sum of all gradients is that of one process.
        """
        # What goes with its residual in this step, before anything may return: all processes draw alike.
        keep = (self.random.random(len(self.met)) >= self.config.residual_dropout) & self.met
        sample = trained
        if len(trained) > self.config.full_softmax_items:
            drawn = self.random.choice(trained, self.config.full_softmax_items, replace=False)
            sample = np.union1d(drawn, lessons.targets[targets[targets >= 0]])
        mine = slice(self.rank, None, self.processes)
        rows, targets = rows[mine], targets[mine]
        if not (targets >= 0).any():
            nothing = torch.zeros((), device=self.device)
            return sum((parameter.sum() * 0.0 for parameter in self.weights.parameters()), nothing)
        wanted = targets[targets >= 0]
        truth, moments = lessons.targets[wanted], lessons.moments[wanted]
        column = np.full(len(self.met), -1)
        column[sample] = np.arange(len(sample))

        mask = torch.from_numpy(keep.astype(np.float32)).to(self.device)[:, None]

        def vectors(items: np.ndarray) -> torch.Tensor:
            chosen = torch.from_numpy(items).to(self.device)
            # Not residuals[chosen]: of that, several threads add up gradients of the same row in any order.
            residuals = functional.embedding(chosen, self.weights.residuals) * mask[chosen]
            return self.weights.model.project(self.item_texts[chosen]) + residuals

        length = targets.shape[1] - 1
        words, kinds, real = self._sentences(lessons, rows, length, vectors)
        interests = self.weights.model(words, kinds, real)  # (stretches, 1 + t, DIM)
        wanting = interests[torch.from_numpy(targets >= 0).to(self.device)]  # (targets, DIM)
        logits = wanting[:, :LATENT] @ vectors(sample).T  # (targets, sample)
        logits = logits + self._trend_scores(wanting[:, LATENT:], moments, sample, trends)
        truth_column = torch.from_numpy(column[truth]).to(self.device)
        losses = functional.cross_entropy(logits, truth_column, reduction="none")
        return (losses * torch.from_numpy(lessons.weights[wanted]).to(self.device)).sum()

    def _sentences(
        self, lessons: Lessons, rows: list[np.ndarray], length: int, vectors: Any
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Words (stretches, t, LATENT), kinds and mask (stretches, t), padded at the end."""
        ledger, flat = lessons.ledger, np.concatenate(rows)
        places = np.concatenate([line * length + np.arange(len(stretch)) for line, stretch in enumerate(rows)])
        items, queries = ledger.item[flat], ledger.query[flat]
        place = torch.from_numpy(places).to(self.device)
        words = torch.zeros(len(rows) * length, LATENT, device=self.device)
        words = words.index_put((place[torch.from_numpy(items >= 0).to(self.device)],), vectors(items[items >= 0]))
        if (wrote := queries >= 0).any():
            written = torch.from_numpy(queries[wrote]).to(self.device)
            meant = self.weights.model.project(self.query_texts[written]).to(words.dtype)
            there = place[torch.from_numpy(wrote).to(self.device)]
            # A search is its text, a comment the mean of its item and its text.
            is_comment = torch.from_numpy(items[wrote] >= 0).to(self.device)[:, None]
            words = words.index_put((there,), torch.where(is_comment, (words[there] + meant) / 2, meant))
        kinds, real = (torch.zeros(len(words), dtype=torch.long, device=self.device) for _ in range(2))
        kinds[place] = torch.from_numpy(ledger.kind[flat]).to(self.device)
        real[place] = 1
        shape = (len(rows), length)
        return words.view(*shape, LATENT), kinds.view(shape), real.view(shape)

    def _trend_scores(
        self, worth: torch.Tensor, moments: np.ndarray, needed: np.ndarray, trends: torch.Tensor
    ) -> torch.Tensor:
        """What the items' trends at each target's moment add to its scores, (targets, needed)."""
        columns = torch.from_numpy(needed).to(self.device)
        order = np.argsort(moments, kind="stable")
        parts = [
            worth[torch.from_numpy(chosen).to(self.device)] @ trends[int(moments[chosen[0]])][columns].T
            for chosen in np.split(order, np.flatnonzero(np.diff(moments[order])) + 1)
        ]
        return torch.cat(parts)[torch.from_numpy(np.argsort(order)).to(self.device)]

    def _share(self, loss: torch.Tensor) -> torch.Tensor:
        """Sum gradients and loss over all processes."""
        if self.processes > 1:
            for parameter in self.weights.parameters():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            add_up([*(parameter.grad for parameter in self.weights.parameters() if parameter.grad is not None), loss])
        return loss

    @torch.no_grad()
    def _average(self) -> None:
        """Move the average towards the weights; at first it is a plain mean of the steps so far."""
        self.steps += 1
        share = max(1.0 / self.steps, 1.0 / self.config.average_steps)
        for kept, now in zip(self.average.parameters(), self.weights.parameters(), strict=True):
            kept.lerp_(now, share)

    def state(self) -> dict[str, Any]:
        """All that a later `restore` needs to go on as if nothing had happened."""
        parts: dict[str, Any] = {"weights": self.weights, "average": self.average, "optimiser": self.optimiser}
        states = {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}
        randoms = {"random": self.random.bit_generator.state, "torch_random": torch.get_rng_state()}
        return {**states, **randoms, "met": self.met.copy(), "steps": self.steps}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a `state`."""
        self.weights.load_state_dict(state["weights"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.random.bit_generator.state = state["random"]
        torch.set_rng_state(state["torch_random"])
        self.met, self.steps = state["met"].copy(), state["steps"]
