"""The report as one JSON object a figure, like those of the other benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.figure import Figure
from benchmarks.quality.report import OURS


def figures(report: dict[str, Any]) -> Iterator[Figure]:
    """NDCG@10 of every model and stratum; nearline's beside the best peer's."""
    for stratum, found in report["strata"].items():
        if not found["count"]:
            continue
        values = {model: metrics["ndcg"]["value"] for model, metrics in found["models"].items()}
        peers = {model: value for model, value in values.items() if not model.startswith(OURS)}
        best = max(peers.items(), key=lambda pair: pair[1], default=None)
        for model, value in values.items():
            bounds = found["models"][model]["ndcg"]
            yield Figure(
                name=f"quality_{model}_{stratum}",
                value=value,
                unit="NDCG@10",
                better="higher",
                reference=best if model == OURS else None,
                context={
                    "data": report["data"]["name"],
                    "protocol": report["protocol"]["name"],
                    "rows": found["count"],
                    "low": bounds["low"],
                    "high": bounds["high"],
                },
            )
