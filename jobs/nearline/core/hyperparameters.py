"""Everything about training that may be tuned: what it is, what it is by default, between what it may be changed.

``NEARLINE_HYPERPARAMETERS`` changes some of it by name, such as ``{"behaviour.learning_rate": 0.002}``, and
``make tune`` looks for better values. How long training may take (steps, epochs), the seed and the history length are
settings of their own: a search would always ask for more of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

PARTS = ("text", "behaviour", "shape")


def _whole(default: int, low: int, high: int) -> Any:
    return field(default=default, metadata={"expected": f"a whole number from {low} to {high}", "range": (low, high)})


def _number(default: float, low: float, high: float) -> Any:
    return field(default=default, metadata={"expected": f"a number from {low:g} to {high:g}", "range": (low, high)})


def _one_of(default: Any, *choices: Any) -> Any:
    expected = f"one of {', '.join(map(str, choices))}"
    return field(default=default, metadata={"expected": expected, "choices": choices})


@dataclass(frozen=True, kw_only=True)
class TextTraining:
    """How the text model is trained."""

    #: Optimiser steps.
    steps: int = 160
    #: Pairs a step, each the negatives of all others.
    batch: int = _whole(32, 2, 4096)
    #: Titles and attributes; training on twice as many tokens takes twice as long.
    max_tokens: int = _whole(32, 4, 512)
    #: Upper encoder layers that learn.
    upper_layers: int = _whole(2, 1, 100)
    #: The usual value for unit vectors; 1 / 20.
    temperature: float = _number(0.05, 0.001, 1.0)
    learning_rate: float = _number(5e-5, 1e-8, 0.1)
    #: AdamW's own, for each step.
    weight_decay: float = _number(0.01, 0.0, 1.0)
    #: Share of the steps in which the learning rate rises; it falls linearly after that.
    warm_up: float = _number(0.1, 0.0, 1.0)
    seed: int = 7


@dataclass(frozen=True, kw_only=True)
class BehaviourTraining:
    """How the behaviour model is trained."""

    #: Most passes over the events.
    epochs: int = 12
    #: Passes without a better validation before training stops.
    patience: int = _whole(2, 1, 1000)
    #: Passes over everything, the validation window too, after the best epoch: as of an earlier cut, three taught the
    #: newest habits better than one.
    final_epochs: int = _whole(3, 0, 100)
    #: Stretches of events a step.
    batch: int = _whole(16, 1, 4096)
    learning_rate: float = _number(1e-3, 1e-6, 0.1)
    #: Of the learning rate: a step of the projection moves every item, by the sum over hundreds of text dimensions,
    projection_rate: float = _number(0.2, 0.0, 100.0)
    #: and one of a residual moves one item, which few steps see.
    residual_rate: float = _number(5.0, 0.0, 1000.0)
    #: What a pass forgets: it leaves exp(-weight_decay) of the network's weights, and less of those with a higher rate.
    #: AdamW's own is for each step: with one value for all, data of more steps would forget more in each pass (Wang and
    #: Aitchison 2024, arXiv 2405.13698).
    weight_decay: float = _number(0.04, 0.0, 10.0)
    #: Chance that an item goes without its residual in a step, so that its text carries a share.
    residual_dropout: float = _number(0.3, 0.0, 1.0)
    #: Steps over which weights are averaged.
    average_steps: int = _whole(300, 1, 1_000_000)
    #: A catalogue with more trained items than this is sampled.
    full_softmax_items: int = _whole(20_000, 10, 10_000_000)
    seed: int = 7


@dataclass(frozen=True, kw_only=True)
class BehaviourShape:
    """How the behaviour model is built."""

    #: More of either over-fits before it helps on data that two cores can read in minutes.
    layers: int = _whole(2, 1, 48)
    #: Parts of attention; each gets an equal and even share of the width, as Llama's rotations take pairs.
    heads: int = _one_of(4, 1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60)
    #: Share of the network's activations switched off in training: 0.3 did better than 0.2 on the same windows.
    dropout: float = _number(0.3, 0.0, 0.9)
    #: "gpt2": learned positions, layer norm, GELU. "llama": rotary positions, RMS norm, SwiGLU.
    block: str = _one_of("gpt2", "gpt2", "llama")


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """How much, and with what.

    >>> TrainingPlan().changed({"shape.layers": 3}).shape.layers
    3
    """

    text: TextTraining = TextTraining()
    behaviour: BehaviourTraining = BehaviourTraining()
    shape: BehaviourShape = BehaviourShape()
    #: Newest events of a person that are read.
    history_length: int = 50

    def changed(self, values: Mapping[str, Any]) -> TrainingPlan:
        """Return the plan with some hyperparameters changed, by name: ``shape.layers``.

        Raises
        ------
        ValueError
            For a name that is none, or a value of another type or out of bounds.
        """
        known = self._rules()
        changes: dict[str, dict[str, Any]] = {part: {} for part in PARTS}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"expected names among {', '.join(known)}; not {name!r}")
            part, _, key = name.partition(".")
            changes[part][key] = _checked(name, value, type(getattr(getattr(self, part), key)), known[name])
        return replace(self, **{part: replace(getattr(self, part), **found) for part, found in changes.items()})

    def named(self) -> dict[str, Any]:
        """Every value by name, those too that are settings of their own."""
        parts = asdict(self)
        found = {f"{part}.{key}": value for part in PARTS for key, value in parts[part].items()}
        return found | {"history_length": self.history_length}

    def tunable(self) -> dict[str, Any]:
        """Values by name, of those that `changed` takes."""
        return {name: value for name, value in self.named().items() if name in self._rules()}

    def _rules(self) -> dict[str, Mapping[str, Any]]:
        return {
            f"{part}.{one.name}": one.metadata for part in PARTS for one in fields(getattr(self, part)) if one.metadata
        }


def _checked(name: str, value: Any, wanted: type, rule: Mapping[str, Any]) -> Any:
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    fits = type(value) is wanted
    if fits and "range" in rule:
        low, high = rule["range"]
        fits = low <= value <= high
    elif fits:
        fits = value in rule["choices"]
    if not fits:
        raise ValueError(f"expected for {name} {rule['expected']}; not {value!r}")
    return value
