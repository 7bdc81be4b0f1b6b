"""The catalogue of the built-in world: items of several kinds, written from the vocabulary of their subtopic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nearline.core import world_phrases as phrases
from nearline.core.world_themes import THEMES, Subtopic
from nearline.core.world_themes_chinese import CHINESE, CHINESE_THEMES

KINDS: dict[str, float] = {"page": 0.22, "product": 0.24, "item": 0.2, "article": 0.16, "video": 0.1, "course": 0.08}
"""Kind -> share of the catalogue."""
EXAMPLE_KINDS = ("page",) * 3 + ("product",) * 2 + ("item",) + ("page", "product", "item") * 3
"""Kinds of the first items, all of the first subtopic: what the example person did, then what fits it."""
CHINESE_SHARE = 0.12
SUBTOPICS: tuple[tuple[str, str], ...] = tuple((theme, name) for theme, names in THEMES.items() for name in names)
"""(theme, subtopic) pairs; all of the world counts subtopics in this order."""

SPREAD: tuple[int, ...] = tuple(sorted(range(len(SUBTOPICS)), key=lambda subtopic: subtopic % 3))
"""Subtopics in the order in which growing worlds take them up: one of each theme, then the second, then the third."""
TRAIL_ITEMS = 25
"""A subtopic has at least about so many items, or people would soon have seen all that they like."""


@dataclass(frozen=True, slots=True)
class WorldItem:
    """One item; ``subtopic`` counts `SUBTOPICS`."""

    item_id: str
    kind: str
    title: str
    description: str
    language: str
    subtopic: int
    attributes: dict[str, Any]


def make_catalogue(count: int, rng: np.random.Generator) -> list[WorldItem]:
    """``count`` items with unique titles; the first ones are those of `EXAMPLE_KINDS`."""
    kinds = list(EXAMPLE_KINDS[:count])
    free = count - len(kinds)
    kinds += [str(kind) for kind in rng.choice(list(KINDS), free, p=list(KINDS.values()))]
    # Each subtopic gets its share in turn, so that small worlds have all of them.
    used = SPREAD[: max(1, min(len(SPREAD), count // TRAIL_ITEMS))]
    subtopics = [0] * (count - free) + [used[number % len(used)] for number in range(free)]
    chinese = [False] * (count - free) + list(rng.random(free) < CHINESE_SHARE)
    seen: set[str] = set()
    told: Counter[tuple[int, str, bool]] = Counter()
    items = []
    for number, (kind, subtopic, is_chinese) in enumerate(zip(kinds, subtopics, chinese, strict=True), start=1):
        turn = told[subtopic, kind, is_chinese]
        told[subtopic, kind, is_chinese] += 1
        items.append(_write_item(number, kind, subtopic, bool(is_chinese), turn, seen, rng))
    return items


def words_of(subtopic: int, language: str) -> Subtopic:
    """Vocabulary of a subtopic in ``en`` or ``zh``."""
    theme, name = SUBTOPICS[subtopic]
    return CHINESE[name][1] if language == "zh" else THEMES[theme][name]


def _write_item(
    number: int, kind: str, subtopic: int, chinese: bool, turn: int, seen: set[str], rng: np.random.Generator
) -> WorldItem:
    theme, name = SUBTOPICS[subtopic]
    language = "zh" if chinese else "en"
    words = words_of(subtopic, language)
    shown = (CHINESE_THEMES[theme], CHINESE[name][0]) if chinese else (theme, name)
    titles, descriptions = (
        (phrases.CHINESE_TITLES, phrases.CHINESE_DESCRIPTIONS) if chinese else (phrases.TITLES, phrases.DESCRIPTIONS)
    )
    for attempt in range(40):
        # The first items of a subtopic speak of its phrases in their order, so that they differ from each other.
        filling = _fill(words, shown[1], turn + attempt, chinese, rng)
        title = _sentence(titles[kind][int(rng.integers(len(titles[kind])))].format_map(filling))
        if attempt >= 8:  # a large world: the same subject again, by somebody else
            title += "（{person}）".format_map(filling) if chinese else ", by {person}".format_map(filling)
        if title not in seen:
            break
    else:
        title = f"{title}，第{number}号" if chinese else f"{title}, number {number}"
    seen.add(title)
    told = descriptions[kind][int(rng.integers(len(descriptions[kind])))].format_map(filling)
    maker = {"brand": filling["brand"]} if kind in ("product", "item") else {"author": filling["person"]}
    attributes: dict[str, Any] = {"theme": shown[0], "subtopic": shown[1], **maker}
    if kind in ("product", "item", "course"):
        low, high = {"product": (25, 240), "item": (4, 30), "course": (20, 120)}[kind]
        attributes["price"] = round(float(rng.uniform(low, high)), 2)
    return WorldItem(f"{kind}-{number}", kind, title, _sentence(told), language, subtopic, attributes)


def _fill(words: Subtopic, name: str, turn: int, chinese: bool, rng: np.random.Generator) -> dict[str, str]:
    def pick(choices: Sequence[str], turn: int | None = None) -> str:
        return choices[(int(rng.integers(len(choices))) if turn is None else turn) % len(choices)]

    skill, gear, supply, scene = (pick(part, turn) for part in words[:4])
    # "a pair of poles" is a thing to have, "Harlow poles" is a thing to buy.
    bare = gear.removeprefix("pair of ").removeprefix("set of ")
    size = pick(phrases.SIZES)
    lessons = pick("六八十" if chinese else ("six", "eight", "ten"))
    return {
        "skill": skill,
        "Skill": _sentence(skill),
        "other_skill": pick(words.skills, turn + 1),
        "gear": gear if chinese else bare,
        "a_gear": _with_article(gear),
        "A_gear": _sentence(_with_article(gear)),
        "supply": supply,
        "Supply": _sentence(supply),
        "scene": scene,
        "Scene": _sentence(scene),
        "other_scene": pick(words.scenes, turn + 1),
        "name": name,
        "Name": _sentence(name),
        "person": pick(phrases.CHINESE_NAMES) if chinese else f"{pick(phrases.FIRST_NAMES)} {pick(phrases.LAST_NAMES)}",
        "brand": pick(phrases.CHINESE_BRANDS) if chinese else pick(phrases.BRANDS),
        "style": pick(phrases.STYLES),
        "size": size,
        "size_plain": f"a {size}",
        "colour": pick(phrases.COLOURS),
        "minutes": str(int(rng.integers(4, 30))),
        "lessons": lessons,
        "Lessons": _sentence(lessons),
    }


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiouAEIOU' and not noun.startswith('uni') else 'a'} {noun}"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
