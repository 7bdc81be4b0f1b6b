"""The report as a table to read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

COLUMNS = (
    ("warm", "ndcg", "warm NDCG@10"),
    ("warm", "hr", "warm HR@10"),
    ("warm", "mrr", "warm MRR@100"),
    ("cold", "ndcg", "cold NDCG@10"),
    ("new_users", "ndcg", "new users NDCG@10"),
    ("all", "ndcg", "all NDCG@10"),
)
SHOWN = (
    ("warm", "coverage", "coverage@10"),
    ("warm", "gini", "Gini of exposure"),
    ("warm", "popularity_lift", "popularity lift"),
)

SEEDED = ("warm", "cold", "new_users", "all")


def table(report: dict[str, Any]) -> str:
    """All models, best warm NDCG@10 first, with intervals of 95%; then nearline against each of the others.

    A peer whose tuning or training was stopped by its budget has a star.
    """
    strata = report["strata"]
    models = sorted(strata["all"]["models"], key=lambda model: -_value(strata, "warm", model, "ndcg"))
    starred = {model for model in models if (report["made"].get(model) or {}).get("stopped_by_budget")}
    titles = {model: model + "*" * (model in starred) for model in models}
    sizes = {name: stratum["count"] for name, stratum in strata.items()}
    lines = [
        f"{report['data']['name']}, {report['protocol']['name']}: "
        + ", ".join(f"{count} {name}" for name, count in sizes.items())
    ]
    for columns in (COLUMNS, SHOWN):
        rows = [["", *(title for _, _, title in columns)]]
        rows += [
            [titles[model], *(_cell(strata, name, model, metric) for name, metric, _ in columns)] for model in models
        ]
        lines += ["", *_aligned(rows)]
    versus = [["nearline against", "warm difference", "p", "p (Holm)", "gain"]]
    for peer, found in sorted(strata["warm"]["versus"].items(), key=lambda pair: pair[1]["difference"]["value"]):
        gain = found["relative"]
        versus.append(
            [
                titles[peer],
                _interval(found["difference"]),
                f"{found['p']:.3f}",
                f"{found['p_holm']:.3f}",
                "" if gain is None else f"{gain['value']:+.1%}",
            ]
        )
    if len(versus) > 1:
        lines += ["", *_aligned(versus)]
    if "seeds" in report:
        seeded = [["nearline, trained with seed", *(f"{name} NDCG@10" for name in SEEDED)]]
        some = report["seeds"]["all"]["ndcg"]
        seeded += [[str(seed), *(_seeded(report["seeds"], name, seed) for name in SEEDED)] for seed in some]
        lines += ["", *_aligned(seeded)]
    if starred:
        lines += ["", "* stopped by its budget before validation said that it was at its best"]
    lines += [f"{peer} failed: {reason}" for peer, reason in report["failed"].items()]
    return "\n".join(lines)


def _value(strata: dict[str, Any], stratum: str, model: str, metric: str) -> float:
    found = strata[stratum]["models"].get(model, {}).get(metric)
    return found["value"] if found else 0.0


def _cell(strata: dict[str, Any], stratum: str, model: str, metric: str) -> str:
    found = strata[stratum]["models"].get(model, {}).get(metric)
    return _interval(found) if found else "-"


def _seeded(seeds: dict[str, Any], stratum: str, seed: int) -> str:
    if stratum not in seeds:
        return "-"
    gain = seeds[stratum]["gain"][seed]
    return f"{seeds[stratum]['ndcg'][seed]:.4f}" + ("" if gain is None else f" ({gain:+.1%})")


def _interval(found: dict[str, Any]) -> str:
    if found["low"] is None:
        return f"{found['value']:.4f}"
    return f"{found['value']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"


def _aligned(rows: list[list[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
