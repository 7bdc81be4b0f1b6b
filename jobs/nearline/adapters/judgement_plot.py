"""A judgement as a picture: the candidate beside the champion and simple rivals, for known and new items and people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STRATA = {"all": "all", "warm": "known items", "cold": "new items", "new_users": "new people"}
ACCENT, MUTED = "#c8102e", "#9aa0a8"


def judgement_plot(figures: dict[str, dict[str, dict[str, float]]]) -> Figure:
    """Draw NDCG@10, with standard errors, of ``figures``: model -> stratum -> metrics, as in judgement.json."""
    from matplotlib.figure import Figure

    models = sorted(figures, key=lambda name: figures[name]["all"]["ndcg"])
    figure = Figure(figsize=(11, 1.6 + 0.4 * len(models)), layout="constrained")
    panels = figure.subplots(1, len(STRATA), sharey=True)
    for axes, (stratum, title) in zip(panels, STRATA.items(), strict=True):
        values = [figures[name][stratum]["ndcg"] for name in models]
        counts = [max(figures[name][stratum]["count"], 1) for name in models]
        # Of a mean of gains between 0 and 1 that are mostly 0: the spread is at most sqrt(mean).
        errors = [np.sqrt(value / count) for value, count in zip(values, counts, strict=True)]
        colours = [ACCENT if name == "candidate" else MUTED for name in models]
        axes.barh(range(len(models)), values, xerr=errors, color=colours, ecolor="#444444", height=0.6)
        axes.set_title(f"{title}: {figures['candidate'][stratum]['count']:,.0f}", loc="left", fontsize=10)
        axes.set_xlim(left=0)
        axes.set_xlabel("NDCG@10")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(models)), [name.replace("_", " ") for name in models])
    return figure
