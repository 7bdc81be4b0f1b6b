"""A short list is the beginning of a long one: nothing that may stand in it is cut before it is asked about."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import Connection, copy_rows
from nearline.core.interest import DIM
from small_shop import MeanOfHistory

ITEMS, VIEWED, SUCCESSORS = 500, 5, 100
IDS = [f"i{n:03}" for n in range(ITEMS)]
KINDS = ["video" if n % 50 == 7 else "page" if n % 3 == 0 else "product" for n in range(ITEMS)]


@pytest.fixture
def shop(connection: Connection) -> Connection:
    """A person who viewed a few items that nearly everything follows at times; some items are not active."""
    rng = np.random.default_rng(11)
    connection.execute(
        """insert into nearline_data.item (item_id, kind, title, language, attributes, is_active, created_at)
           select i.id, i.kind, i.id, (array['en-GB', 'zh', 'de'])[1 + i.n %% 3]
                , jsonb_build_object('price', i.n %% 100), i.n %% 9 > 0, now() - i.n * interval '1 hour'
           from unnest(%s::text[], %s::text[]) with ordinality as i (id, kind, n)""",
        (IDS, KINDS),
    )
    connection.execute(
        "insert into nearline_data.model_version (model_version, mlflow_run_id, transition_weight) values (1, 'r', 2)"
    )
    connection.execute("select nearline_data._create_version_partitions(1)")
    copy_rows(
        connection, "item_embedding", ["model_version", "item_id", "kind", "vector"],
        ["int4", "text", "text", "vector"],
        [(1, item, kind, rng.normal(size=DIM).astype(np.float32)) for item, kind in zip(IDS, KINDS, strict=True)],
    )  # fmt: skip
    copy_rows(
        connection, "item_transition", ["model_version", "item_id", "next_item_id", "weight"],
        ["int4", "text", "text", "float4"],
        [(1, IDS[n], IDS[other], float(rng.uniform(0.3, 1)))
         for n in range(VIEWED) for other in rng.choice(np.arange(VIEWED, ITEMS), SUCCESSORS, replace=False)],
    )  # fmt: skip
    connection.execute("select nearline_data._index_version(1)")
    for n in range(VIEWED):
        connection.execute("select nearline.record_event('u', 'view', %s)", (IDS[n],))
    for n in range(40):
        connection.execute("select nearline.record_event(%s, 'view', %s)", (f"v{n}", IDS[n * n % 97]))
    connection.execute("select nearline_data._refresh_popularity()")
    InterestLedger(connection, MeanOfHistory(), 1).rebuild()
    connection.execute("select nearline_data._promote(1, 'test', 'test')")
    connection.execute(
        """insert into nearline_data.strategy (name, transition_weight, popular_weight, fresh_weight)
           values ('what is new', 1, 0, 0.7), ('what is popular', 1, 0.7, 0), ('near only', 0, 0, 0)"""
    )
    connection.execute("set enable_indexscan = off")  # a search by the index alone may miss a few
    return connection


@pytest.mark.parametrize(
    "arguments",
    [
        {}, {"item_kinds": ["video"]}, {"item_kinds": ["page", "video"]}, {"matching": '{"price": {"below": 50}}'},
        {"matching": '{"price": [7, 14, 21, 35]}'}, {"matching": '{"language": "DE"}', "item_kinds": ["product"]},
        {"strategy": "what is new"}, {"strategy": "what is popular"}, {"strategy": "near only"},
    ],
)  # fmt: skip
def test_a_short_list_is_the_beginning_of_a_long_one(shop: Connection, arguments: dict[str, Any]) -> None:
    def listed(count: int) -> list[Any]:
        more = "".join(f", {name} => %s" for name in arguments)
        return shop.execute(
            f"select item_id, score, reason from nearline.recommend('u', %s{more})".encode(),
            (count, *arguments.values()),
        ).fetchall()

    with shop.transaction():  # one moment: what is new fades
        long = listed(1000)
        assert len(long) > 3
        for count in (1, 3, 10, 40, 120):
            assert listed(count) == long[:count], count


def test_a_rare_kind_keeps_what_follows_the_newest_events(shop: Connection) -> None:
    """A hundred and fifty stronger successors of another kind stand before it."""
    shop.execute("delete from nearline_data.item_transition")
    shop.execute(
        """insert into nearline_data.item_transition (model_version, item_id, next_item_id, weight)
           select 1, 'i004', i.item_id
                , case i.kind when 'video' then 0.65 else 0.7 + i.n / 1000.0 end
           from (
               select n.item_id, n.kind, row_number() over (partition by n.kind order by n.item_id) as n
               from nearline_data.item n
               where n.is_active and n.item_id > 'i005'
           ) i
           where i.n = 1 and i.kind = 'video' or i.n <= 150 and i.kind = 'product'"""
    )
    few = shop.execute("select item_id, score from nearline.recommend_per_kind('u', 3, array['video'])").fetchall()
    without = dict(
        shop.execute(
            "select item_id, score from nearline.recommend('u', 9, strategy => 'near only', item_kinds => '{video}')"
        ).fetchall()
    )
    assert (
        few == shop.execute("select item_id, score from nearline.recommend('u', 1000, array['video'])").fetchall()[:3]
    )
    assert few[0][1] > without[few[0][0]] + 1
