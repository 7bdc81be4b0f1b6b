"""Random rules on a random catalogue: every list is what a plain model of the rules makes of the whole ranking."""

from __future__ import annotations

import json
import operator
from collections import Counter
from typing import Any

import numpy as np
import pytest

from nearline.adapters.postgres import Connection
from nearline.core.interest import DIM
from small_shop import open_shop

COUNT = 300
KINDS = ("page", "product", "film")
SELLERS = ("Tern", "Oakhurst", "Lund", 7, True)
MIXED = (0.2, 0.25, 0.25, 0.1, 0.2)
"""Shares of pins, boosts, buries, blocks and caps."""
MOVING = (0.05, 0.5, 0.4, 0.02, 0.03)
Item = dict[str, Any]


def catalogue(rng: np.random.Generator) -> dict[str, Item]:
    """Items whose attributes are of all types, absent, null or lists; some have no language."""
    items = {}
    for number in range(COUNT):
        attributes: dict[str, Any] = {"price": int(rng.integers(100))}
        if rng.random() < 0.8:
            attributes["seller"] = SELLERS[int(rng.integers(len(SELLERS)))]
        if rng.random() < 0.5:
            attributes["tags"] = sorted({f"tag {n}" for n in rng.integers(4, size=2)})
        elif rng.random() < 0.2:
            attributes["tags"] = None
        items[f"i{number}"] = {
            "kind": KINDS[int(rng.choice(3, p=[0.6, 0.3, 0.1]))],
            "language": [None, "en", "en-GB", "zh"][int(rng.integers(4))],
            "attributes": attributes,
        }
    return items


def fill(connection: Connection, items: dict[str, Item], rng: np.random.Generator) -> None:
    open_shop(connection)
    connection.execute("update nearline_data.item set is_active = false")
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into nearline_data.item (item_id, kind, title, language, attributes) values (%s, %s, %s, %s, %s)",
            [(i, one["kind"], i, one["language"], json.dumps(one["attributes"])) for i, one in items.items()],
        )
        cursor.executemany(
            "insert into nearline_data.item_embedding values (1, %s, %s, %s)",
            [(i, one["kind"], rng.normal(size=DIM).astype(np.float32) / 10) for i, one in items.items()],
        )
        cursor.executemany(
            "insert into nearline_data.item_transition values (1, %s, %s, %s)",
            [("i0", f"i{n}", float(rng.random())) for n in rng.choice(COUNT, 30, replace=False) if n],
        )
    connection.execute("select nearline.record_event('u', 'view', 'i0'), nearline.record_event('u', 'view', 'i1')")


def random_matching(rng: np.random.Generator) -> dict[str, Any]:
    choices: list[dict[str, Any]] = [
        {"seller": SELLERS[int(rng.integers(len(SELLERS)))]},
        {"seller": ["Tern", 7]},
        {"tags": f"tag {rng.integers(4)}"},
        {"tags": None},
        {"price": {"below": int(rng.integers(5, 100))}},
        {"price": {"from": int(rng.integers(50)), "to": 80}},
        {"language": "en"},
        {"language": ["en-GB", "zh"], "price": {"above": 20}},
    ]
    return choices[int(rng.integers(len(choices)))]


def random_rule(rng: np.random.Generator, name: str, shares: tuple[float, ...]) -> Item:
    action = str(rng.choice(["pin", "boost", "bury", "block", "cap"], p=shares))
    rule: Item = {"name": name, "action": action, "item_ids": None, "item_kinds": None, "matching": None}
    if action == "pin" or (action != "cap" and rng.random() < 0.3):
        rule["item_ids"] = [f"i{n}" for n in rng.choice(COUNT, int(rng.integers(1, 4)), replace=False)]
    elif action != "cap" or rng.random() < 0.4:
        shape = rng.integers(3)
        if shape != 1:
            rule["item_kinds"] = [str(kind) for kind in rng.choice(KINDS, int(rng.integers(1, 3)), replace=False)]
        if shape != 0:
            rule["matching"] = random_matching(rng)
    if action == "pin":
        rule["at_position"] = int(rng.choice([1, 2, 3, 5, 8, 60]))
    if action in ("boost", "bury"):
        rule["strength"] = float(rng.choice([0.25, 1, 4, 64]))
    if action == "cap":
        rule |= {"per": str(rng.choice(["seller", "tags", "kind", "language"])), "at_most": int(rng.integers(1, 4))}
    return rule


def values_of(item: Item, attribute: str) -> list[Any]:
    """What an attribute holds: a list's values, one value, or nothing."""
    held = item[attribute] if attribute in ("kind", "language") else item["attributes"].get(attribute)
    return held if isinstance(held, list) else [held]


def same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and left == right


def matches(item: Item, matching: dict[str, Any]) -> bool:
    for name, wanted in matching.items():
        values = values_of(item, name)
        if name == "language":
            asked = [wanted] if isinstance(wanted, str) else wanted
            met = values[0] is not None and (values[0] in asked or values[0].split("-")[0] in asked)
        elif isinstance(wanted, dict):
            price = values[0]
            bounds = {"below": operator.lt, "above": operator.gt, "from": operator.ge, "to": operator.le}
            met = all(bounds[bound](price, limit) for bound, limit in wanted.items())
        else:
            asked = wanted if isinstance(wanted, list) else [wanted]
            met = name in item["attributes"] and any(same(value, one) for value in values for one in asked)
        if not met:
            return False
    return True


def concerns(rule: Item, item_id: str, item: Item) -> bool:
    if rule["item_ids"] is not None:
        return item_id in rule["item_ids"]
    return (rule["item_kinds"] is None or item["kind"] in rule["item_kinds"]) and matches(item, rule["matching"] or {})


def model(ranking: list[tuple[str, float]], items: dict[str, Item], rules: list[Item], wanted: int) -> list[str]:
    """The list that rules make of a whole ranking. Pins that were to stand further down count where it is short."""
    by = {action: [r for r in rules if r["action"] == action] for action in ("pin", "boost", "bury", "block", "cap")}
    scores = {
        item: score
        + sum(r["strength"] for r in by["boost"] if concerns(r, item, items[item]))
        - sum(r["strength"] for r in by["bury"] if concerns(r, item, items[item]))
        for item, score in ranking
        if not any(concerns(r, item, items[item]) for r in by["block"])
    }
    order = sorted(scores, key=lambda item: -scores[item])
    pins: dict[str, int] = {}
    for rule in sorted(by["pin"], key=lambda r: (r["at_position"], r["name"])):
        for item in rule["item_ids"]:
            if item in scores and item not in pins:
                pins[item] = max(rule["at_position"], max(pins.values(), default=0) + 1)

    def groups(item: str) -> list[tuple[Item, tuple[str, str]]]:
        return [
            (rule, (rule["name"], repr(value)))
            for rule in by["cap"]
            if concerns(rule, item, items[item])
            for value in values_of(items[item], rule["per"])
            if value is not None
        ]

    counted = {item for item, place in pins.items() if place <= wanted}
    while True:
        taken = Counter(group for item in counted for _, group in groups(item))
        others = []
        for item in order:
            if len(others) == wanted - len(counted):
                break
            if item not in pins and all(taken[group] < rule["at_most"] for rule, group in groups(item)):
                others.append(item)
                taken.update(group for _, group in groups(item))
        waiting = sorted(pins, key=lambda item: pins[item])
        chosen: list[str] = []
        while len(chosen) < wanted and (waiting or others):
            is_pin = waiting and (pins[waiting[0]] <= len(chosen) + 1 or not others)
            chosen.append((waiting if is_pin else others).pop(0))
        if counted >= pins.keys() & set(chosen):
            return chosen
        counted = pins.keys() & set(chosen)


def insert(connection: Connection, rule: Item) -> None:
    values = [json.dumps(value) if isinstance(value, dict) else value for value in rule.values()]
    connection.execute(
        f"insert into nearline_data.rule ({', '.join(rule)}) values ({', '.join(['%s'] * len(rule))})".encode(), values
    )


@pytest.mark.parametrize(
    ("seed", "lists", "at_most", "shares"),
    [(seed, 60, 5, MIXED) for seed in range(3)] + [(seed, 20, 40, MOVING) for seed in (3, 5, 7)],
)
def test_lists_are_what_a_model_of_the_rules_says(
    connection: Connection, seed: int, lists: int, at_most: int, shares: tuple[float, ...]
) -> None:
    rng = np.random.default_rng(seed)
    items = catalogue(rng)
    fill(connection, items, rng)
    call = "select item_id, score::float8 from nearline.recommend('u', %s, %s, %s, with_reasons => false)"
    moved = 0
    for _ in range(lists):
        connection.execute("delete from nearline_data.rule")
        kinds = None if rng.random() < 0.7 else [str(rng.choice(KINDS))]
        matching = None if rng.random() < 0.7 else json.dumps(random_matching(rng))
        ranking = connection.execute(call, (1000, kinds, matching)).fetchall()
        rules = [
            random_rule(rng, f"rule {number}", shares) for number in range(int(rng.integers(at_most // 5, at_most + 1)))
        ]
        for rule in rules:
            insert(connection, rule)
        wanted = int(rng.choice([1, 3, 5, 10, 40]))
        found = [item for item, _ in connection.execute(call, (wanted, kinds, matching)).fetchall()]
        expected = model(ranking, items, rules, wanted)
        assert found == expected, (rules, kinds, matching, wanted)
        moved += found != [item for item, _ in ranking][:wanted]
    assert moved > lists // 3, "the rules did something"


def test_what_rules_bring_does_not_grow_with_their_number(connection: Connection) -> None:
    rng = np.random.default_rng(0)
    fill(connection, catalogue(rng), rng)
    for number in range(60):
        matching = [{"seller": SELLERS[number % 5]}, {"tags": f"tag {number % 4}"}][number % 2]
        insert(connection, {"name": f"{number}", "action": "boost", "matching": matching, "strength": 1 + number / 60})
    plan = "select items_out from nearline.plan('u', 1) where stage = 'rules'"
    assert connection.execute(plan).fetchone() == (2 * 1 + 50,)
