"""Judge rankings on the newest window, and decide whether a candidate may be published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nearline.core.behaviour import Ledger
from nearline.core.blend import blend, standard_scores
from nearline.core.ranking import metrics, rank
from nearline.core.split import window_rows
from nearline.core.transitions import Transitions
from nearline.core.trends import trends_of
from nearline.models.evaluation import Window, interests_of, transition_view
from nearline.models.interest_model import InterestModel

TEST_ROWS = 2000
"""First meetings judged on: the standard error of NDCG@10 is then about half a point."""
LAST_ITEMS = 10
MONTH = 30 * 86400.0
FLOORED = ("cold", "new_users")
FLOOR = 0.8
"""Share of the champion's NDCG@10 that a candidate must keep in each of those strata,"""
FLOOR_ROWS = 100
"""where so many interactions or more tell. A champion that has learnt all but fewer of the test rows is left out."""

Figures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Test:
    """Later first meetings, each predicted from what its person did strictly before, among the whole catalogue."""

    window: Window
    cut: float
    known: np.ndarray
    past: np.ndarray

    @classmethod
    def of(cls, ledger: Ledger, cut: float, seed: int) -> Test:
        """Draw at most `TEST_ROWS` first meetings from the cut on.

        ``known`` (items,): met before it by anybody; ``past`` (ledger rows,): before it.
        """
        rows = window_rows(ledger, cut, float("inf"), TEST_ROWS, seed)
        known = np.zeros(len(ledger.items), dtype=bool)
        past = ledger.time < cut
        known[ledger.item[past & (ledger.item >= 0)]] = True
        return cls(Window.of(ledger, rows), cut, known, past)

    @classmethod
    def unlearnt(cls, ledger: Ledger, cut: float, trained_until: float, seed: int) -> Test | None:
        """Draw rows that a champion has not learnt either; None where those are too few to tell.

        It has learnt some after the cut when that lies further back than it did: older history was loaded, or more is
        held out now.
        """
        test = cls.of(ledger, max(cut, trained_until), seed)
        return None if trained_until > cut and len(test.window) < FLOOR_ROWS else test

    def batches(self) -> Iterator[Window]:
        """The rows in parts."""
        for rows in self.window.batches():
            yield self.window.part(rows)

    def vectors(
        self, model: InterestModel, item_texts: np.ndarray, query_texts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of items and of queries, float32 (n, DIM) each, from the model's text vectors.

        Items do as they did at the cut: nothing later is known of them.
        """
        ledger = self.window.ledger
        items = model.place_items(ledger.items, item_texts, trends_of(ledger.only(self.past), self.cut))
        return items, model.place_queries(query_texts)

    def served_scores(
        self, model: InterestModel, item_texts: np.ndarray, query_texts: np.ndarray, table: Transitions
    ) -> Iterator[np.ndarray]:
        """The blend of `nearline.core.blend`, (rows, items) for each batch, from the model's text vectors."""
        items, queries = self.vectors(model, item_texts, query_texts)
        for part in self.batches():
            z = standard_scores(interests_of(model, part, items, queries), items)
            yield blend(z, transition_view(part, table), model.transition_weight)

    def ranks(self, scores: Iterable[np.ndarray]) -> np.ndarray:
        """Rank of each row's target, int64 (n,), of `nearline.core.ranking.rank`, by scores in `batches`."""
        parts = zip(self.batches(), scores, strict=True)
        return np.concatenate(
            [np.zeros(0, np.int64), *(rank(values, part.targets, part.known()) for part, values in parts)]
        )


def plain_scores(test: Test, text_vectors: np.ndarray, table: Transitions) -> dict[str, Iterator[np.ndarray]]:
    """Scores of rivals that need no training, (rows, items) for each batch.

    ``text_vectors`` (items, width) of the text model as it was before fine-tuning. Popularity ends at the cut.
    """
    ledger = test.window.ledger
    unit = text_vectors / np.maximum(np.linalg.norm(text_vectors, axis=1, keepdims=True), 1e-9)
    lately = ledger.only(ledger.positive & (ledger.time < test.cut) & (ledger.time >= test.cut - MONTH))
    popularity = np.bincount(lately.item, minlength=len(ledger.items)).astype(np.float32)

    def untuned() -> Iterator[np.ndarray]:
        for part in test.batches():
            tastes = [unit[items[-LAST_ITEMS:]].sum(axis=0) for items, _ in part.item_histories()]
            yield np.stack(tastes) @ unit.T

    return {
        "untuned_text": untuned(),
        "popularity": (np.tile(popularity, (len(part), 1)) for part in test.batches()),
        "transitions": (transition_view(part, table) for part in test.batches()),
    }


def figures(test: Test, scores: Iterable[np.ndarray]) -> Figures:
    """Metrics of all rows, and apart: warm and cold targets (met before the cut, or not), new users."""
    ranks = test.ranks(scores)
    warm = test.known[test.window.targets]
    new = test.window.is_new()
    strata = {"all": np.ones(len(ranks), dtype=bool), "warm": warm, "cold": ~warm, "new_users": new}
    return {name: metrics(ranks[chosen]) for name, chosen in strata.items()}


@dataclass(frozen=True)
class Judgement:
    """What was found, and what follows."""

    accepted: bool
    reason: str
    figures: dict[str, Figures]

    def as_dict(self) -> dict[str, Any]:
        """For judgement.json: ``accepted``, ``reason``, ``metrics`` of the candidate, ``rivals``."""
        rivals = {name: found for name, found in self.figures.items() if name != "candidate"}
        return {
            "accepted": self.accepted,
            "reason": self.reason,
            "metrics": self.figures["candidate"],
            "rivals": rivals,
        }

    def flat(self) -> dict[str, float]:
        """For MLflow: ``test.candidate.warm.ndcg`` and so on."""
        return {
            f"test.{name}.{stratum}.{key}": value
            for name, strata in self.figures.items()
            for stratum, values in strata.items()
            for key, value in values.items()
        }


def decide(found: dict[str, Figures], about_champion: str = "") -> Judgement:
    """Accept a candidate whose NDCG@10 over all test rows beats the untuned text model's and the champion's.

    And that is not much worse than the champion for new items or new people: a better mean must not be paid by them.
    The reason ends with what is to be said ``about_champion``.
    """
    accepted, reason = _verdict(found)
    return Judgement(accepted, f"{reason} ({about_champion})" if about_champion else reason, found)


def _verdict(found: dict[str, Figures]) -> tuple[bool, str]:
    candidate = found["candidate"]["all"]
    if not candidate["count"]:
        return False, (
            "nobody met an item for the first time after the cut, so there is nothing to judge on. "
            "Fix: wait for more events, or raise NEARLINE_HOLDOUT_SHARE."
        )
    rivals = {name: found[name]["all"]["ndcg"] for name in ("untuned_text", "champion") if name in found}
    said = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in rivals.items())
    better = [name for name, value in rivals.items() if candidate["ndcg"] <= value]
    verdict = f"NDCG@10 {candidate['ndcg']:.4f} on {candidate['count']:.0f} later interactions; {said}"
    fallen = [text for stratum in FLOORED if (text := _fallen(found, stratum))]
    if fallen:
        return False, f"{' and '.join(fallen)}: {verdict}"
    if better:
        names = " and ".join(name.replace("_", " ") for name in better)
        return False, f"not better than the {names}: {verdict}"
    return True, f"better than the {' and '.join(n.replace('_', ' ') for n in rivals)}: {verdict}"


def _fallen(found: dict[str, Figures], stratum: str) -> str:
    """What to say when the candidate is below the floor of a stratum, or nothing."""
    if "champion" not in found or found["champion"][stratum]["count"] < FLOOR_ROWS:
        return ""
    candidate, champion = found["candidate"][stratum]["ndcg"], found["champion"][stratum]["ndcg"]
    if candidate >= FLOOR * champion:
        return ""
    return f"below {FLOOR:.0%} of the champion for {stratum.replace('_', ' ')} ({candidate:.4f} of {champion:.4f})"
