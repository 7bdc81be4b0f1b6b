"""Every function of the contract, called with what nobody should send: an answer, or a refusal; never a surprise."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from nearline.adapters.postgres import Connection, connect
from nearline.settings import Settings
from small_shop import ITEMS, open_shop

WORDS = [
    "", "u", "hiking-page-1", "'; drop table nearline_data.item; --", "$$", "%s", "\\", "<script>", "☃" * 700,
    "a" * 20_000,
]  # fmt: skip

texts = st.one_of(st.sampled_from(WORDS), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
integers = st.one_of(st.sampled_from([-(2**31), -1, 0, 1, 3, 1000, 1001, 2**31 - 1]), st.integers(-5, 50))
doubles = st.one_of(st.floats(), st.sampled_from([0.0, 0.5, 1.0]))
intervals = st.sampled_from(["0", "1 day", "-1 day", "100000 years", "-100000 years", "1 microsecond", "infinity"])
times = st.sampled_from(["now", "epoch", "infinity", "-infinity", "0001-01-01Z", "4000-01-01Z", "2026-11-01Z"])
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), integers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)
deep = st.sampled_from(["[" * 3000 + "]" * 3000, '{"a":' * 2000 + "1" + "}" * 2000])
BY_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "text": texts,
    "text[]": st.one_of(st.lists(st.one_of(st.none(), texts), max_size=4), st.just(["x"] * 10_001)),
    "integer": integers,
    "integer[]": st.lists(st.one_of(st.none(), integers), max_size=4),
    "double precision": doubles,
    "boolean": st.booleans(),
    "interval": intervals,
    "timestamp with time zone": times,
    "jsonb": st.one_of(json_values.map(json.dumps), deep),
    "uuid": st.uuids().map(str),
}
REQUEST = "6f6c1f0e-8c6e-4b43-9d53-0d7e0b6f0a11"
SANE: dict[str, Any] = {
    "for_user": "u", "of_user": "u", "to_user": "u", "for_users": ["u", "v"], "event_kind": "view", "on_item": ITEMS[0],
    "to_item": ITEMS[0], "for_item": ITEMS[1], "topic": "kind: page", "weight": 0.5, "of_request": REQUEST,
    "shown_items": ITEMS[:2], "events": json.dumps([{"kind": "view", "item_id": ITEMS[0]}]), "since": "2026-01-01Z",
    "until": "now",
}  # fmt: skip
"""What a call that is meant well says; nothing for all other arguments. One that is wrong among these gets further than
many at once."""
REFUSALS = ("22", "54", "23")
"""Classes of SQLSTATE: data exception, limit exceeded, integrity constraint."""


@pytest.fixture
def functions(settings: Settings, connection: Connection) -> list[tuple[str, list[tuple[str, str]], str]]:
    """Name, arguments (name, type) and role of every function that applications may call."""
    open_shop(connection)
    connection.execute("select nearline.record_event('u', 'view', %s)", (ITEMS[0],))
    connection.execute("select nearline_data._refresh_topics()")
    rows = connection.execute(
        """select p.proname, r.role, p.proargnames[:p.pronargs],
                  array(select format_type(t, null) from unnest(p.proargtypes) with ordinality as x (t, n) order by n)
           from pg_proc p
           cross join (values ('nearline_reader'), ('nearline_writer'), ('nearline_engine')) as r (role)
           where p.pronamespace = 'nearline'::regnamespace
             and has_function_privilege(r.role, p.oid, 'execute')
             and (r.role <> 'nearline_engine' or p.proname in ('try_rules', 'erase_user'))"""
    ).fetchall()
    found = [(name, list(zip(names, types, strict=True)), role) for name, role, names, types in rows]
    assert len({name for name, _, _ in found}) >= 14
    assert {kind for _, arguments, _ in found for _, kind in arguments} <= BY_TYPE.keys()
    return found


@rules(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_it_answers_or_says_the_fix(settings: Settings, functions: Any, data: st.DataObject) -> None:
    name, arguments, role = data.draw(st.sampled_from(functions))
    hostile = st.integers(0, 2).map(lambda drawn: drawn == 0)
    chosen = {
        one: data.draw(st.one_of(st.none(), BY_TYPE[kind]) if data.draw(hostile) else st.just(SANE.get(one)), label=one)
        for one, kind in arguments
    }
    kinds = dict(arguments)
    call = ", ".join(f"{one} => %({one})s::{kinds[one]}" for one in chosen)
    with connect(settings, role=role, autocommit=True) as caller:
        caller.execute("set statement_timeout = '10s'")
        try:
            caller.execute(f"select * from nearline.{name}({call})".encode(), chosen).fetchall()
        except psycopg.Error as problem:
            if (problem.sqlstate or "")[:2] not in REFUSALS or not problem.diag.message_hint:
                raise
