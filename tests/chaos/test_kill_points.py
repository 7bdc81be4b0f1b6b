"""SIGKILL before and after every statement of the refresh, with writers going on: as if the run had never begun."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest

from chaos.refresh_process import BLOCKS
from chaos.schedules import TO_PUBLISH
from chaos.shop import Shop, sampled
from chaos.writers import LATE_ITEMS, LEAVING, bring_item, erase
from nearline.adapters.interest_ledger import InterestLedger
from small_shop import ITEMS, MeanOfHistory

REPLAYING = {"look_at_cursor": "--rebuild", "users": "--rebuild", "users_of_shard": "--users=u0,u1",
             "shard_count": "--users=u0,u1", "users_since": "--since=2026-01-01"}  # fmt: skip
IDLING = {"try_wait", "stop_waiting"}
DIVIDED = {"has_cursor"}
BATCH = 10
"""Events."""


def prepare(shop: Shop) -> None:
    """Leave something to do for every statement: new texts, one that breaks the encoder, an item that has come since
    people touched it and one that has not, two who were asked about, somebody erased who had a vector, and a
    transaction larger than a batch.
    """
    with shop.connect() as connection:
        writer = shop.write(0, most=0)
        for item in (LATE_ITEMS[0], LATE_ITEMS[1], ITEMS[0]):
            writer.record(replace(writer.event("u1"), kind="view", item_id=item, text=None))
        writer.record(replace(writer.event(LEAVING[0]), kind="view", item_id=ITEMS[0], text=None))
        InterestLedger(connection, MeanOfHistory(), 1).catch_up()
        for user in ("u1", LEAVING[0]):
            connection.execute("select nearline.explain(%s, %s)", (user, ITEMS[0]))
        for text in ("all about hiking", "poison"):
            writer.record(replace(writer.event("u2"), kind="search", item_id=None, text=text))
        for _ in range(15):
            writer.one()
        writer.record(*(writer.event() for _ in range(2 * BATCH)))
        bring_item(shop.settings, LATE_ITEMS[0])
        erase(shop.settings, shop.book, LEAVING[0])


def recover_from(shop: Shop, *kill_at: str, publishing: bool = False) -> None:
    """Kill what sends a statement, start it again as Airflow would and kill that too, then let one end, and check."""
    prepare(shop)
    with sampled(shop):
        shop.write(1, pause=0.005)
        for point in kill_at:
            run = (
                shop.publish(2, kill_at=point)
                if publishing
                else shop.run(*_arguments(point), kill_at=point, batch=BATCH)
            )
            if point.split(":")[0] in DIVIDED:
                shop.wait_for_a_batch()
                shop.divide_for(shop.shards)
            assert run.wait() == -signal.SIGKILL, f"{point} was not reached: {run.said()}"
        if publishing:
            assert shop.publish(2).wait() == 0
    assert shop.rest().problems == []


def _arguments(point: str) -> list[str]:
    block = point.split(":")[0]
    if block in REPLAYING:
        return [REPLAYING[block]]
    return ["--seconds=5"] if block in IDLING | DIVIDED else ["--once"]


@pytest.mark.parametrize("block", sorted(BLOCKS))
def test_killed_at_a_statement(shop: Shop, block: str) -> None:
    recover_from(shop, f"{block}:1:before", f"{block}:1:after", publishing=block in TO_PUBLISH)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6])
def test_killed_at_a_commit_of_a_run(shop: Shop, number: int) -> None:
    recover_from(shop, *(f"commit:{number}:{moment}" for moment in ("before", "during", "after")))


@pytest.mark.parametrize("number", [1, 3, 4, 5, 6])
def test_killed_at_a_commit_of_a_publication(shop: Shop, number: int) -> None:
    recover_from(shop, f"commit:{number}:during", publishing=True)
