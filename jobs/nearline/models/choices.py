"""What is chosen on the validation window: how habits fade, how views are blended, what the unmet get."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from nearline.core.blend import TRANSITION_WEIGHTS, blend, scaled, standard_scores
from nearline.core.fold import GAINS, KEEPS, MISSING, Fold, unit_scale
from nearline.core.interest import LATENT, catalogue_moments
from nearline.core.ranking import metrics, rank
from nearline.core.transitions import Reading
from nearline.core.trends import UNSEEN, WINDOW_DAYS, trends_of
from nearline.models.behaviour_model import BehaviourModel
from nearline.models.behaviour_training import BehaviourTrainer
from nearline.models.evaluation import Window, folded, interests_of, transition_view
from nearline.models.interest_model import InterestModel
from nearline.models.text_model import TextModel
from nearline.models.training_data import TrainingData

log = logging.getLogger("nearline.training")
Report = Callable[[dict[str, float], int], None]
Way = TypeVar("Way")

WATCHED_WEIGHTS = (1.0, 2.0, 4.0)
"""Weights of the transitions among which a pass is judged; the finer choice comes at the end."""
NEWCOMER_ROWS = 100
"""With fewer newcomers in the window nothing is chosen for them: it would be chance."""
NEWCOMER_BOOSTS = (0.0, 0.5, 1.0, 2.0, 4.0)
"""In parts of the usual spread of scores."""
FOLD_ROWS = 2000
"""First meetings that the fold is fitted on: of few, two weights too are chance."""
SPREAD_ROWS = 200
"""First meetings whose people say how far scores usually lie apart."""
WORTH_OF_NEWS = 0.01
"""Share of NDCG@10 that may be given up for offering what nobody has met: else it never gets its first event."""
UNMET_ITEMS = 20
"""Where nobody has met fewer items than this, the window cannot say what offering such costs: they get what a mean item
gets."""
UNMET_ROWS = 100
"""With fewer rows in the window nothing is moved up that nobody has met: a loss of so small a share would not be told
from chance."""
UNSEEN_OFFSETS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
"""What may be added to the score of an item that nobody met, in parts of the usual spread of scores."""


class Mix(NamedTuple):
    """With which transitions, what is near or what comes next, and how much of them."""

    near: bool
    weight: float


class Choices:
    """What is chosen on the validation window, by NDCG@10 over the whole catalogue.

    Attributes
    ----------
    made
        ``fading``, ``near``, ``transition_weight``, ``unseen_offset``, ``newcomer_trend``, ``newcomer_boost``,
        ``fold_keep``, ``fold_gain`` and ``fold_span``.
    start
        The model that `choose` chose for, less the choices: it has seen nothing of the window.
    """

    start: InterestModel | None = None

    def __init__(
        self,
        data: TrainingData,
        trainer: BehaviourTrainer,
        text_model: TextModel,
        item_texts: np.ndarray,
        query_texts: np.ndarray,
        report: Report,
    ) -> None:
        self.data, self.trainer, self.text_model, self.report = data, trainer, text_model, report
        self.item_texts, self.query_texts = item_texts, query_texts
        self.window = Window.of(data.ledger, data.validation)
        self.trends = trends_of(data.ledger.only(data.inner), data.inner_end)
        following = {reading.fading: table for reading, table in data.inner_transitions.items() if not reading.near}
        ranks: dict[float, list[np.ndarray]] = {fading: [] for fading in following}
        for rows in self.window.batches():
            part = self.window.part(rows)
            known = part.known()
            for fading, table in following.items():
                ranks[fading].append(rank(transition_view(part, table), part.targets, known))
        figures = {fading: _ndcg(parts) for fading, parts in ranks.items()}
        fading = max(figures, key=lambda one: figures[one])
        self.transitions = {near: data.inner_transitions[Reading(fading, near)] for near in (False, True)}
        self.made = {"fading": fading}
        report({"validation_transitions_ndcg": figures[fading], "fading": fading}, 0)
        log.info(
            "habits fade by half %g times in the span: transitions alone have NDCG@10 %.4f", fading, figures[fading]
        )

    def validate(self) -> float:
        """NDCG@10 of the model as it is, with the better transitions at the best of a few weights."""
        interests, items = self._interests()
        mixes = _mixes(WATCHED_WEIGHTS)
        return max(self._figures(self.window, {"now": interests}, mixes, _standard(items)).values())

    def choose(self) -> None:
        """Choose transitions, their weight and what an item that nobody met gets added, together."""
        self.start = assemble(self.trainer, self.text_model, self.data, {})
        self.start.notes = {"trained_until": self.data.inner_end, "kind_weights": self.data.kind_weights}
        interests, items = self._interests()
        # Usual spread of a person's scores over the catalogue, before it is scaled to 1.
        some = interests[_evenly(len(interests), SPREAD_ROWS)]
        spread = float(np.median((some @ items.T).std(axis=1))) if len(some) else 0.0
        most = max(UNSEEN_OFFSETS) if len(self.window) >= UNMET_ROWS else 0.0
        told = (self.trends[:, UNSEEN] > 0).sum() >= UNMET_ITEMS
        offsets = [offset for offset in UNSEEN_OFFSETS if offset <= most] if told else [0.0]
        shifted = {offset: self._shifted(interests, {"unseen_offset": offset * spread}) for offset in offsets}
        found = self._figures(self.window, shifted, _mixes(TRANSITION_WEIGHTS), _standard(items))
        good = [pair for pair, figure in found.items() if figure >= (1.0 - WORTH_OF_NEWS) * max(found.values())]
        offset = max(offset for offset, _ in good)
        chosen = max((pair for pair in good if pair[0] == offset), key=lambda pair: found[pair])[1]
        self.made |= {"near": float(chosen.near), "transition_weight": chosen.weight, "unseen_offset": offset * spread}
        self.report({**self.made, "validation_blend_ndcg": found[offset, chosen]}, 0)
        log.info(
            "transitions to what %s, weight %g, offset of the unmet %.2f: validation NDCG@10 %.4f",
            "is near" if chosen.near else "comes next", chosen.weight, offset * spread, found[offset, chosen],
        )  # fmt: skip
        self._choose_for_newcomers(interests, items, spread)
        self._fit_fold()

    def scores(self) -> Iterator[np.ndarray]:
        """Blend of the model as it is with all that was chosen, float32 (rows, items) for each batch of the window."""
        interests, items = self._interests()
        shifted, standard = self._shifted(interests, self.made), _standard(items)
        for rows in self.window.batches():
            view = transition_view(self.window.part(rows), self.transitions[self._mix().near])
            yield blend(standard(shifted[rows]), view, self._mix().weight)

    def _choose_for_newcomers(self, interests: np.ndarray, items: np.ndarray, spread: float) -> None:
        """Choose the trend that newcomers follow beyond what was learnt, and how much, on those in the window."""
        new = np.flatnonzero(self.window.is_new())
        found = {(0, 0.0): 0.0}
        if len(new) >= NEWCOMER_ROWS:
            ways = {}
            for trend, boost in product(range(len(WINDOW_DAYS)), NEWCOMER_BOOSTS):
                made = {**self.made, "newcomer_trend": trend, "newcomer_boost": boost * spread}
                ways[trend, boost] = self._shifted(interests, made)[new]
            found = _first(self._figures(self.window.part(new), ways, [self._mix()], _standard(items)))
        trend, boost = max(found, key=lambda pair: found[pair])
        self.made |= {"newcomer_trend": trend, "newcomer_boost": boost * spread}
        if len(new) >= NEWCOMER_ROWS:
            log.info("newcomers (%d): trend %d by %g more, NDCG@10 %.4f", len(new), trend, boost, found[trend, boost])

    def _fit_fold(self) -> None:
        """Fit how a stored interest takes in events it has not seen, on people with the newest ones hidden from it."""
        enough = np.flatnonzero(self.window.end - self.window.start > max(MISSING))
        enough = enough[_evenly(len(enough), FOLD_ROWS)]
        model = assemble(self.trainer, self.text_model, self.data, self.made)
        items = model.place_items(self.data.item_ids, self.item_texts, self.trends)
        queries, span = model.place_queries(self.query_texts), float(model.behaviour.log_span.exp())
        covariance, window = catalogue_moments(items)[1], self.window.part(enough)
        scale, vectors = unit_scale(covariance), np.concatenate([items, queries])
        found = {(keep, gain): 0.0 for keep in KEEPS for gain in GAINS}
        for missing in MISSING if len(enough) else ():
            known_end = window.end - missing
            stale = scaled(interests_of(model, window.ending(known_end), items, queries), covariance)
            ways = {
                (keep, gain): folded(stale, window, known_end, vectors, Fold(keep, gain, span), scale)
                for keep, gain in found
            }
            figures = self._figures(window, ways, [self._mix()], lambda part: part @ items.T)
            for pair, figure in _first(figures).items():
                found[pair] += figure
        keep, gain = max(found, key=lambda pair: found[pair])
        self.made |= {"fold_keep": keep, "fold_gain": gain, "fold_span": span}
        log.info("fold: keep %g of an interest an event, gain %g", keep, gain)

    def _figures(
        self,
        window: Window,
        ways: Mapping[Way, np.ndarray],
        mixes: Sequence[Mix],
        score: Callable[[np.ndarray], np.ndarray],
    ) -> dict[tuple[Way, Mix], float]:
        """NDCG@10 on a window by several interests of its people, (n, DIM) each, each mixed with transitions.

        What ``score`` makes of some of the interests, (rows, items), is large: never of all people at once.
        """
        ranks: dict[tuple[Way, Mix], list[np.ndarray]] = {pair: [] for pair in product(ways, mixes)}
        for rows in window.batches():
            part = window.part(rows)
            views = {near: transition_view(part, self.transitions[near]) for near in {one.near for one in mixes}}
            known = part.known()
            for way, interests in ways.items():
                scores = score(interests[rows])
                for one in mixes:
                    found = blend(scores, views[one.near], one.weight)
                    ranks[way, one].append(rank(found, part.targets, known))
        return {pair: _ndcg(parts) for pair, parts in ranks.items()}

    def _interests(self) -> tuple[np.ndarray, np.ndarray]:
        """Interests of the window's people, before anything is chosen, and the items' vectors, float32 (n, DIM)."""
        model = assemble(self.trainer, self.text_model, self.data, {})
        items = model.place_items(self.data.item_ids, self.item_texts, self.trends)
        return interests_of(model, self.window, items, model.place_queries(self.query_texts)), items

    def _shifted(self, interests: np.ndarray, made: Mapping[str, float]) -> np.ndarray:
        """What `assemble` makes of interests by some choices: they only add to the worth of trends."""
        found = interests.copy()
        found[:, LATENT + UNSEEN] += made.get("unseen_offset", 0.0)
        read = np.minimum(self.window.end - self.window.start, self.trainer.weights.model.config.history_length)
        boost = made.get("newcomer_boost", 0.0) / (1 + read)
        found[:, LATENT + int(made.get("newcomer_trend", 0))] += boost.astype(np.float32)
        return found

    def _mix(self) -> Mix:
        return Mix(bool(self.made["near"]), self.made["transition_weight"])


def _evenly(count: int, most: int) -> np.ndarray:
    """At most so many places of so many rows, int64, rising: rows lie by person, so that all kinds of people are in."""
    return np.unique(np.linspace(0, max(count - 1, 0), min(count, most)).astype(np.int64))


def _standard(items: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Standard scores for a catalogue, whose moments are found once."""
    moments = catalogue_moments(items)
    return lambda interests: standard_scores(interests, items, moments)


def _mixes(weights: Sequence[float]) -> list[Mix]:
    return [Mix(near, weight) for near, weight in product((False, True), weights)]


def _first(found: Mapping[tuple[Way, Mix], float]) -> dict[Way, float]:
    """Figures of one mix, by way alone."""
    return {way: figure for (way, _), figure in found.items()}


def _ndcg(ranks: Sequence[np.ndarray]) -> float:
    return metrics(np.concatenate([np.zeros(0, np.int64), *ranks]), digits=6)["ndcg"]


def assemble(
    trainer: BehaviourTrainer, text_model: TextModel, data: TrainingData, made: Mapping[str, float]
) -> InterestModel:
    """Make the model as it is served: on the CPU, averaged, with residuals of the items it has met.

    Of the choices ``made``, ``unseen_offset`` is added to everybody's score of an item that nobody met, and
    ``newcomer_boost`` to what a newcomer gives the trend ``newcomer_trend``.
    """
    behaviour = BehaviourModel(trainer.weights.model.config)
    behaviour.load_state_dict(trainer.average.model.state_dict())
    with torch.no_grad():
        behaviour.trends.bias[UNSEEN] += made.get("unseen_offset", 0.0)
        behaviour.newcomer_trends[int(made.get("newcomer_trend", 0))] = made.get("newcomer_boost", 0.0)
    met = np.flatnonzero(trainer.met).tolist()
    residuals = trainer.average.residuals.detach().cpu().numpy()[met].copy()
    return InterestModel(text_model, behaviour, list(data.ledger.kinds), [data.item_ids[row] for row in met], residuals)
