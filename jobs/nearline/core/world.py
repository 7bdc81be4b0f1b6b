"""The built-in world: people whose tastes are known, so that there is a right answer to every recommendation.

Each person has one to three tastes (subtopics) that drift over the months. A session serves one taste: often a search
in the person's own words, then a walk along the *trail* of the subtopic, an order of its items that everybody tends to
follow, with what people do on the way: liking, buying, commenting. The same arguments give the same world.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nearline.core.world_catalogue import SUBTOPICS, WorldItem, make_catalogue, words_of
from nearline.errors import InputError

EXAMPLE_USER = "ada"
"""The person everything started from: browsed pages 1-3, searched for products 4 and 5, bought item 6."""
SESSIONS_A_DAY = 0.2
"""Mean of a long-tailed distribution: most people come once a week or less, a few come daily."""
PHASE_DAYS = 30
"""Tastes last for about so long."""
LONGEST_WALK = 12
CHINESE_READERS = 0.15
SEARCH_SHARE = 0.4
WEIGHTS = np.array([[1.0, 0.0, 0.0], [0.65, 0.35, 0.0], [0.55, 0.3, 0.15]])
"""(tastes a person has - 1, taste) -> share of sessions."""

_COMMENTS = {
    "en": ("This finally taught me to {skill}.", "Perfect for {scene}.", "Good, though it says little about {scene}."),
    "zh": ("终于学会了{skill}。", "很喜欢{scene}这一部分。", "内容不错，推荐给新手。"),
}
_QUERIES = {"en": ("{}", "best {}", "{} for beginners", "{} please"), "zh": ("{}", "{}推荐", "新手{}")}

#: (kind, chance for each kind of item, the kind of event it follows); what people do with an item they are looking at.
_DEEDS: tuple[tuple[str, dict[str, float], str | None], ...] = (
    ("like", {"page": 0.08, "article": 0.12, "video": 0.12, "product": 0.06, "item": 0.04, "course": 0.06}, None),
    ("favourite", {"page": 0.05, "article": 0.05, "video": 0.04, "course": 0.08}, None),
    ("share", {"page": 0.02, "article": 0.04, "video": 0.03}, None),
    ("comment", {"page": 0.02, "article": 0.04, "video": 0.04, "product": 0.03, "course": 0.03}, None),
    ("wishlist", {"product": 0.06, "item": 0.02}, None),
    ("cart", {"product": 0.2, "item": 0.25}, None),
    ("purchase", {"course": 0.1}, None),
    ("purchase", {"product": 0.5, "item": 0.7}, "cart"),
    ("return", {"product": 0.06, "item": 0.02}, "purchase"),
)

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


class Taste(NamedTuple):
    """What a person likes, and the share of their sessions that serve it."""

    theme: str
    subtopic: str
    weight: float


@dataclass
class _Log:
    """Events in columns: person, item (-1: none) and kind by number, seconds since the start of the world."""

    user: list[_Ints]
    item: list[_Ints]
    kind: list[npt.NDArray[np.object_]]
    value: list[_Floats]
    seconds: list[_Floats]
    text: list[npt.NDArray[np.object_]]


class World:
    """A catalogue, its people and what they did, generated.

    Parameters
    ----------
    people, items, days
        Sizes, each at least 1. About ``people * days * 1.2`` events.
    seed
        Same arguments, same world.
    until
        Aware. All events are before; what people do next is held out, see `next_items`.

    Raises
    ------
    InputError
        When a size is below 1 or ``until`` has no time zone.
    """

    def __init__(self, *, people: int, items: int, days: int, seed: int, until: datetime) -> None:
        if min(people, items, days) < 1:
            raise InputError(f"A world needs at least 1 person, item and day, saw {people}, {items} and {days}.")
        if until.tzinfo is None:
            raise InputError(f"until: expected a time with a zone such as 2026-03-01T00:00:00Z, saw {until}.")
        self._rng = np.random.default_rng(seed)
        self._until = until.astimezone(UTC)
        self._days = days
        self._people = people
        self.catalogue: list[WorldItem] = make_catalogue(items, self._rng)
        self._number = {item.item_id: number for number, item in enumerate(self.catalogue)}
        self._lay_trails()
        self._give_tastes()
        self._live()

    def items(self) -> Iterator[dict[str, Any]]:
        """The catalogue in the canonical columns, ``attributes`` as JSON text."""
        for item in self.catalogue:
            yield {
                "item_id": item.item_id,
                "kind": item.kind,
                "title": item.title,
                "description": item.description,
                "attributes": json.dumps(item.attributes, ensure_ascii=False),
                "language": item.language,
            }

    def event_columns(self) -> dict[str, npt.NDArray[Any]]:
        """All events in time order, in the canonical columns; ``occurred_at`` is datetime64[us] in UTC."""
        return self._events

    def events(self) -> Iterator[dict[str, Any]]:
        """All events in time order as rows, ``occurred_at`` aware."""
        names = list(self._events)
        for values in zip(*(self._events[name].tolist() for name in names), strict=True):
            row = dict(zip(names, values, strict=True))
            row["occurred_at"] = row["occurred_at"].replace(tzinfo=UTC)
            yield row

    def users(self) -> list[str]:
        """All people, the example person last (in worlds of 15 items or more)."""
        return [f"u{number}" for number in range(1, self._people + 1)] + [EXAMPLE_USER] * self._has_example

    def theme_of(self, item_id: str) -> str:
        """English name of the theme of an item."""
        return SUBTOPICS[self.catalogue[self._number[item_id]].subtopic][0]

    def subtopic_of(self, item_id: str) -> str:
        """English name of the subtopic of an item."""
        return SUBTOPICS[self.catalogue[self._number[item_id]].subtopic][1]

    def taste_of(self, user_id: str, at: datetime) -> list[Taste]:
        """What a person likes at a time, strongest first."""
        if user_id == EXAMPLE_USER:
            theme, subtopic = SUBTOPICS[0]
            return [Taste(theme, subtopic, 1.0)]
        person = int(user_id.removeprefix("u")) - 1
        seconds = self._days * 86400 - (self._until - at).total_seconds()
        phase = int(self._phase(np.array([person]), np.array([seconds]))[0])
        weights = WEIGHTS[self._taste_count[person] - 1]
        return [
            Taste(SUBTOPICS[subtopic][0], SUBTOPICS[subtopic][1], float(weight))
            for subtopic, weight in zip(self._tastes[person, phase], weights, strict=True)
            if weight > 0
        ]

    def successor_of(self, item_id: str) -> str:
        """The next item of its trail: where most people go from it."""
        number = self._number[item_id]
        trail = self._trails[self._trail_of[number]]
        return self.catalogue[int(trail[(self._place[number] + 1) % len(trail)])].item_id

    def next_items(self, user_id: str) -> list[str]:
        """What a person does in the first session after ``until``, new to them, in order; never in the events."""
        return self._held_out.get(user_id, [])

    @property
    def _has_example(self) -> bool:
        return len(self.catalogue) >= 15

    def _lay_trails(self) -> None:
        """Order the items of each (subtopic, language), kinds well mixed; the front of a trail is its popular end."""
        groups: dict[tuple[int, str], list[int]] = {}
        for number, item in enumerate(self.catalogue):
            groups.setdefault((item.subtopic, item.language), []).append(number)
        self._trails: list[_Ints] = []
        self._trail_of = np.zeros(len(self.catalogue), np.int64)
        self._place = np.zeros(len(self.catalogue), np.int64)
        lookup = np.full((len(SUBTOPICS), 2), -1, np.int64)
        for (subtopic, language), members in groups.items():
            kinds = [self.catalogue[member].kind for member in members]
            ranks = [kinds[:place].count(kind) for place, kind in enumerate(kinds)]
            keys = [(rank + self._rng.random()) / kinds.count(kind) for rank, kind in zip(ranks, kinds, strict=True)]
            trail = np.array(members)[np.argsort(keys)]
            lookup[subtopic, int(language == "zh")] = len(self._trails)
            self._trail_of[trail] = len(self._trails)
            self._place[trail] = np.arange(len(trail))
            self._trails.append(trail)
        self._inhabited = np.flatnonzero((lookup >= 0).any(axis=1))
        # A subtopic without a trail in one language shares that of the other.
        self._lookup = np.where(lookup >= 0, lookup, lookup[:, ::-1])
        self._lengths = np.array([len(trail) for trail in self._trails])
        self._starts = np.cumsum(self._lengths) - self._lengths
        self._steps = np.concatenate(self._trails)

    def _give_tastes(self) -> None:
        rng, people, phases = self._rng, self._people, self._days // PHASE_DAYS + 3
        self._taste_count = rng.integers(1, 4, people)
        self._reads_chinese = rng.random(people) < CHINESE_READERS
        self._shift = rng.random(people)
        current = rng.choice(self._inhabited, (people, 3))
        # A second taste is often a neighbour of the first: the three subtopics of a theme follow each other.
        neighbour = current[:, 0] // 3 * 3 + rng.integers(0, 3, people)
        current[:, 1] = np.where(
            np.isin(neighbour, self._inhabited) & (rng.random(people) < 0.5), neighbour, current[:, 1]
        )
        self._tastes = np.empty((people, phases, 3), np.int64)
        for phase in range(phases):
            self._tastes[:, phase] = current
            slot = rng.integers(0, self._taste_count)
            drifts = np.flatnonzero(rng.random(people) < 0.5)
            current[drifts, slot[drifts]] = rng.choice(self._inhabited, len(drifts))

    def _phase(self, person: _Ints, seconds: _Floats) -> _Ints:
        phase = np.floor(seconds / 86400 / PHASE_DAYS + self._shift[person]).astype(np.int64)
        return np.clip(phase, 0, self._tastes.shape[1] - 1)

    def _live(self) -> None:
        rng, people, span = self._rng, self._people, self._days * 86400.0
        activity = rng.lognormal(-0.5, 1.0, people)  # mean 1
        sessions = 1 + rng.poisson(activity * SESSIONS_A_DAY * self._days)
        person = np.repeat(np.arange(people), sessions + 1)
        seconds = rng.random(len(person)) * span
        # The last session of each person is held out: it begins after the end.
        last = np.cumsum(sessions + 1) - 1
        seconds[last] = span + rng.random(people) * 86400
        order = np.lexsort((seconds, person))
        person, seconds = person[order], seconds[order]

        taste = (rng.random(len(person))[:, None] > np.cumsum(WEIGHTS[self._taste_count[person] - 1], axis=1)).sum(
            axis=1
        )
        subtopic = self._tastes[person, self._phase(person, seconds), np.minimum(taste, 2)]
        stray = rng.random(len(person)) < 0.05
        subtopic[stray] = rng.choice(self._inhabited, int(stray.sum()))
        chinese = self._reads_chinese[person] & (rng.random(len(person)) < 0.7)
        trail = self._lookup[subtopic, chinese.astype(np.int64)]

        log = _Log([], [], [], [], [], [])
        seconds = self._search(log, person, seconds, trail)
        walked = self._walk(log, person, seconds, trail)
        self._act(log, *walked)
        self._finish(log, span)

    def _search(self, log: _Log, person: _Ints, seconds: _Floats, trail: _Ints) -> _Floats:
        """Sessions that begin with a query; returns when each session reaches its first item."""
        searches = np.flatnonzero(self._rng.random(len(person)) < SEARCH_SHARE)
        draws = self._rng.random((len(searches), 2))
        texts = []
        for session, (first, second) in zip(searches, draws, strict=True):
            item = self.catalogue[self._trails[trail[session]][0]]
            queries, forms = words_of(item.subtopic, item.language).queries, _QUERIES[item.language]
            texts.append(forms[int(first * len(forms))].format(queries[int(second * len(queries))]))
        self._write(log, person[searches], np.full(len(searches), -1), "search", seconds[searches], texts=texts)
        began = seconds.copy()
        began[searches] += 15.0
        return began

    def _walk(self, log: _Log, person: _Ints, seconds: _Floats, trail: _Ints) -> tuple[_Ints, _Ints, _Floats]:
        """Follow trails, all sessions abreast; returns (person, item, second) of every visit."""
        rng = self._rng
        size = self._lengths[trail]
        # Who comes back to a trail goes on about where the last visit ended.
        key = person * len(self._trails) + trail
        order = np.argsort(key, kind="stable")
        fresh = np.r_[True, np.diff(key[order]) != 0]
        visits = np.empty(len(key), np.int64)
        visits[order] = np.arange(len(key)) - np.maximum.accumulate(np.where(fresh, np.arange(len(key)), 0))
        home = (key * 2654435761 % 1009) / 1009.0
        place = (np.floor(size * home**2).astype(np.int64) + 3 * visits) % size
        length = np.minimum(1 + rng.geometric(0.28, len(person)), LONGEST_WALK)
        found: list[tuple[_Ints, _Ints, _Floats]] = []
        now = seconds
        for step in range(LONGEST_WALK):
            going = length > step
            if step:
                choice = rng.random(len(person))
                popular = np.floor(size * rng.random(len(person)) ** 2).astype(np.int64)
                place = np.where(choice < 0.72, place + 1, np.where(choice < 0.82, place + 2, popular))
            # A walk ends where its trail ends.
            length = np.where(place < size, length, 0)
            going &= place < size
            place %= size
            item = self._steps[self._starts[trail] + place]
            astray = rng.random(len(person)) < 0.03
            item = np.where(astray, rng.integers(0, len(self.catalogue), len(person)), item)
            now = now + 5.0 + rng.exponential(60.0, len(person))
            found.append((person[going], item[going], now[going]))
        visitor, item, second = (np.concatenate(column) for column in zip(*found, strict=True))
        kinds = np.array([item.kind for item in self.catalogue], object)[item]
        clicked = rng.random(len(item)) < 0.25
        seen = np.where(kinds == "video", "play", np.where(clicked, "click", "view"))
        self._write(log, visitor, item, seen.astype(object), second)
        return visitor, item, second

    def _act(self, log: _Log, person: _Ints, item: _Ints, seconds: _Floats) -> None:
        """What people do with what they see."""
        rng = self._rng
        prices = np.array([item.attributes.get("price", np.nan) for item in self.catalogue])
        kinds = np.array([item.kind for item in self.catalogue], object)[item]
        happened: dict[str, npt.NDArray[np.bool_]] = {}
        for deed, chances, after in _DEEDS:
            chance = np.zeros(len(item))
            for kind, share in chances.items():
                chance[kinds == kind] = share
            does = rng.random(len(item)) < chance
            if after:
                does &= happened[after]
            happened[deed] = happened.get(deed, np.zeros(len(item), bool)) | does
            who = np.flatnonzero(does)
            delay = rng.uniform(1, 30, len(who)) + {"purchase": 60, "return": 5 * 86400}.get(deed, 0)
            texts = [self._comment(number) for number in item[who]] if deed == "comment" else None
            value = prices[item[who]] if deed == "purchase" else None
            self._write(log, person[who], item[who], deed, seconds[who] + delay, value, texts)
        disliked = np.flatnonzero(rng.random(len(item)) < 0.008)
        self._write(log, person[disliked], item[disliked], "dislike", seconds[disliked] + 4.0)

    def _comment(self, number: int) -> str:
        item = self.catalogue[number]
        words, forms = words_of(item.subtopic, item.language), _COMMENTS[item.language]
        first, second = self._rng.integers(0, 6, 2)
        skill, scene = words.skills[first % len(words.skills)], words.scenes[first % len(words.scenes)]
        return forms[second % len(forms)].format(skill=skill, scene=scene)

    def _write(
        self,
        log: _Log,
        person: _Ints,
        item: _Ints,
        kind: str | npt.NDArray[np.object_],
        seconds: _Floats,
        value: _Floats | None = None,
        texts: list[str] | None = None,
    ) -> None:
        log.user.append(person)
        log.item.append(item)
        log.kind.append(np.full(len(person), kind, object) if isinstance(kind, str) else kind)
        log.value.append(np.full(len(person), np.nan) if value is None else value)
        log.seconds.append(seconds)
        log.text.append(np.full(len(person), None, object) if texts is None else np.array(texts, object))

    def _finish(self, log: _Log, span: float) -> None:
        """Cut the log at the end of time, keep what comes after as the right answer, and put names to numbers."""
        user, item = np.concatenate(log.user), np.concatenate(log.item)
        kind, text = np.concatenate(log.kind), np.concatenate(log.text)
        value, seconds = np.concatenate(log.value), np.concatenate(log.seconds)
        users = np.array(self.users(), object)
        names = np.array([*(item.item_id for item in self.catalogue), None], object)  # -1: no item

        past = seconds < span
        seen = set(zip(user[past].tolist(), item[past].tolist(), strict=True))
        self._held_out: dict[str, list[str]] = {}
        later = np.flatnonzero(~past & np.isin(kind, ("view", "click", "play")))
        for row in later[np.argsort(seconds[later], kind="stable")]:
            new = self._held_out.setdefault(users[user[row]], [])
            if (user[row], item[row]) not in seen and names[item[row]] not in new:
                new.append(names[item[row]])

        kept = np.flatnonzero(past)
        kept = kept[np.argsort(seconds[kept], kind="stable")]
        start = np.datetime64((self._until - timedelta(days=self._days)).replace(tzinfo=None), "us")
        columns = {
            "user_id": users[user[kept]],
            "item_id": names[item[kept]],
            "kind": kind[kept],
            "value": value[kept],
            "text": text[kept],
            "occurred_at": start + (seconds[kept] * 1e6).astype("timedelta64[us]"),
        }
        if self._has_example:
            columns = {name: np.concatenate([columns[name], added]) for name, added in self._example().items()}
            # Whole rows stay in time order: the example person lives in the last hour.
            order = np.argsort(columns["occurred_at"], kind="stable")
            columns = {name: column[order] for name, column in columns.items()}
            trail = self._trails[self._lookup[0, 0]]
            done = {f"page-{n}" for n in (1, 2, 3)} | {"item-6"}
            self._held_out[EXAMPLE_USER] = [names[number] for number in trail if names[number] not in done]
        values = columns["value"].astype(object)
        values[np.isnan(columns["value"])] = None
        columns["value"] = values
        self._events: dict[str, npt.NDArray[Any]] = columns

    def _example(self) -> dict[str, npt.NDArray[Any]]:
        queries = words_of(0, "en").queries
        price = self.catalogue[5].attributes["price"]
        rows: list[tuple[str | None, str, float, str | None]] = [
            ("page-1", "view", np.nan, None),
            ("page-2", "view", np.nan, None),
            ("page-3", "view", np.nan, None),
            (None, "search", np.nan, queries[0]),
            (None, "search", np.nan, queries[1]),
            ("item-6", "purchase", price, None),
        ]
        item, kind, value, text = zip(*rows, strict=True)
        end = np.datetime64(self._until.replace(tzinfo=None), "us")
        return {
            "user_id": np.full(len(rows), EXAMPLE_USER, object),
            "item_id": np.array(item, object),
            "kind": np.array(kind, object),
            "value": np.array(value),
            "text": np.array(text, object),
            "occurred_at": end - (np.arange(len(rows), 0, -1) * 300_000_000).astype("timedelta64[us]"),
        }
