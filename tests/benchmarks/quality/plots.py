"""The report as pictures: how good, and how concentrated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.quality.exposure import shown
from benchmarks.quality.problem import Problem
from benchmarks.quality.ranked import CUTOFF
from benchmarks.quality.report import OURS, Judged

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = {"warm": "Known items", "cold": "New items", "new_users": "New people"}
FRESHNESS = {"age": "age of the vector", "missing": "newest events that the vector misses"}
INK, MUTED, GRID, ACCENT, SOFT = "#222222", "#7a7f87", "#e3e5e8", "#c8102e", "#e58a97"
HUES = ("#33658a", "#f6ae2d", "#2f9c95", "#8e5572", "#6b8f3a", "#7d8cc4", "#b5651d", "#5c6470", "#c28cae")
"""Of peers where lines have to be told apart."""


def draw_plots(problem: Problem, judged: Judged, report: dict[str, Any], folder: Path) -> list[Path]:
    """Write ndcg.png; exposure.png where anything known was asked for; freshness.png where that was measured.

    One of an earlier run that this one does not draw is removed.
    """
    # Imported here: it takes a second, and only what draws pays.
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"font.size": 10, "axes.edgecolor": MUTED, "text.color": INK, "axes.labelcolor": INK})
    paths = []
    figures = {"ndcg": _ndcg(report)}
    if report["strata"]["warm"]["count"]:
        figures["exposure"] = _exposure(problem, judged, report)
    curves = report["made"].get(OURS, {}).get("freshness") or {}
    if any(curves.get(name) for name in FRESHNESS):
        figures["freshness"] = _freshness(curves, report)
    for name in {"exposure", "freshness"} - set(figures):
        (folder / f"{name}.png").unlink(missing_ok=True)
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=150, facecolor="white")
        pyplot.close(figure)
    return paths


def _ndcg(report: dict[str, Any]) -> Figure:
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    strata = {name: report["strata"][name] for name in PANELS}
    best = report["strata"]["warm" if strata["warm"]["count"] else "all"]["models"]
    models = sorted(best, key=lambda model: best[model]["ndcg"]["value"])
    figure, panels = pyplot.subplots(
        1, len(PANELS), sharey=True, figsize=(11, 1.7 + 0.36 * len(models)), layout="constrained"
    )
    for axes, (name, title) in zip(panels, PANELS.items(), strict=True):
        stratum = strata[name]
        among = "training items" if stratum["candidates"] == "trained" else "whole catalogue"
        axes.set_title(f"{title}", loc="left", fontweight="bold", pad=22)
        axes.text(0, 1.03, f"{stratum['count']:,} events among the {among}", transform=axes.transAxes, color=MUTED)
        for place, model in enumerate(models):
            if stratum["count"]:
                _dot(axes, place, model, stratum["models"][model]["ndcg"])
        known = [found["ndcg"] for found in stratum["models"].values() if stratum["count"]]
        bounds = [found["high"] or found["value"] for found in known]
        axes.set_xlim(0, 1.25 * max(bounds, default=0.0) or 1.0)  # room for the last number
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_ylim(-0.6, len(models) - 0.4)
        axes.set_xlabel("NDCG@10")
        axes.grid(axis="x", color=GRID)
        axes.set_axisbelow(True)
        axes.tick_params(length=0, labelcolor=INK)
        axes.spines[["top", "right", "left"]].set_visible(False)
    panels[0].set_yticks(range(len(models)), [model.replace("_", " ") for model in models])
    for label, model in zip(panels[0].get_yticklabels(), models, strict=True):
        label.set_fontweight("bold" if model == OURS else "normal")
    protocol = {"successive": "after a cut in time", "loo": "leave-one-out"}[report["protocol"]["name"]]
    figure.suptitle(
        f"{report['data']['name']}: later first meetings, {protocol}; bars: 95%, people drawn again", x=0.01, ha="left"
    )
    return figure


def _freshness(curves: dict[str, Any], report: dict[str, Any]) -> Figure:
    from matplotlib import pyplot

    ways = {
        "fold": ("newest events folded in", ACCENT, "-"),
        "read": ("only the transitions are fresh", HUES[0], "--"),
        "stale": ("nothing is fresh", MUTED, ":"),
    }
    titles = {name: title for name, title in FRESHNESS.items() if curves[name]}
    figure, grid = pyplot.subplots(
        1, len(titles), sharey=True, squeeze=False, figsize=(5 * len(titles), 3.8), layout="constrained"
    )
    panels = grid[0]
    for axes, (name, title) in zip(panels, titles.items(), strict=True):
        points = curves[name]
        for way, (label, colour, line) in ways.items():
            axes.plot([points[at][way] for at in points], line, color=colour, marker="o", label=label)
        axes.set_xticks(range(len(points)), list(points))
        axes.set_xlabel(title)
        axes.grid(axis="y", color=GRID)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylim(0.0, None)
    panels[0].set_ylabel("NDCG@10, known items")
    panels[0].legend(frameon=False)
    figure.suptitle(f"{report['data']['name']}: what staleness costs", x=0.01, ha="left")
    return figure


def _dot(axes: Axes, place: int, model: str, found: dict[str, float | None]) -> None:
    colour = ACCENT if model == OURS else SOFT if model.startswith(OURS) else MUTED
    right = found["value"] if found["high"] is None else found["high"]
    if found["low"] is not None:
        axes.plot([found["low"], found["high"]], [place, place], color=colour, linewidth=2.4, solid_capstyle="round")
    axes.plot(found["value"], place, "o", color=colour, markersize=7, markeredgecolor="white", clip_on=False)
    axes.annotate(
        f"{found['value']:.3f}", (right, place), (6, 0), textcoords="offset points", va="center", color=colour
    )


def _exposure(problem: Problem, judged: Judged, report: dict[str, Any]) -> Figure:
    """Lorenz curves read from the other end, as nearly all that is to be seen lies with the few most shown items."""
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter, PercentFormatter

    warm = report["strata"]["warm"]
    models = [model for model in judged if model == OURS or not model.startswith(OURS)]
    models.sort(key=lambda model: warm["models"][model]["gini"]["value"])
    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    share = np.arange(1, warm["candidate_items"] + 1) / warm["candidate_items"]
    axes.plot(share, share, color=MUTED, linestyle=(0, (2, 3)), label="all equally often, Gini 0")
    hues = iter(HUES * len(models))
    for model in models:
        counts = np.sort(shown(judged[model]["trained"].items[:, :CUTOFF], len(problem.trained))[problem.trained])[::-1]
        ours = model == OURS
        colour = ACCENT if ours else next(hues)
        gini = warm["models"][model]["gini"]["value"]
        axes.plot(
            share, np.cumsum(counts) / counts.sum(), color=colour, linewidth=2.6 if ours else 1.4,
            zorder=3 if ours else 2, label=f"{model.replace('_', ' ')}, Gini {gini:.2f}",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(share[0], 1)
    axes.set_ylim(0, 1.01)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda part, _: f"{100 * part:g}%"))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("of the training items, the most shown first (logarithmic)")
    axes.set_ylabel("of all places in top 10 lists")
    axes.set_title(f"{report['data']['name']}: who gets the places", loc="left", fontweight="bold")
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    return figure
