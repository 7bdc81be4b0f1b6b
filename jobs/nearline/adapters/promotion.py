"""How a version goes live, by `publish` or because somebody moved MLflow's alias: one after another, and never staler.

MLflow's alias says which version is wanted, `nearline_data.live_version` which one is served, and follow_champion
brings the second to the first. That it never undoes what `publish` is doing has two reasons:

- `publish` moves the alias inside the transaction that flips, as the last thing before its commit. If it dies before
  that, both are as they were; if it dies between the two, the alias says the new version and the old one is served,
  which follow_champion finishes. At no moment is the new version served while the alias says the old one.
- One session at a time reads and changes both: it holds the lock "nearline promotion". Without it an alias read before
  a flip and a version read after it would look like somebody's wish to go back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.new_items import NewItems
from nearline.adapters.postgres import Connection, queries
from nearline.errors import ModelError

log = logging.getLogger("nearline.promotion")

LEAST_RECALL = 0.8
"""Of what an exact search finds, an index must find so much. pgvector's usual settings find above 0.9 of real items."""
PLACING_SECONDS = 5.0
"""For items that came after a version was loaded: a rollback over many of them is not to wait for all."""


def check_index(connection: Connection, version: int) -> float:
    """How much of the nearest items the index of a version finds; measured once after each load, and where too little.

    Raises
    ------
    ModelError
        When it is below `LEAST_RECALL`.
    """
    about = {"model_version": version}
    found = connection.execute(queries("publish")["index_recall"], about).fetchone()
    if found is None or found[0] is None or found[0] < LEAST_RECALL:
        found = connection.execute(queries("publish")["measure_recall"], about).fetchone() or (None,)
        log.info("version %d: its index finds %s of what an exact search finds", version, found[0])
    recall = float(found[0] or 0.0)
    if recall < LEAST_RECALL:
        raise ModelError(
            f"The index of version {version}: expected to find at least {LEAST_RECALL} of the ten nearest items, "
            f"measured {recall:.3f}. Fix: raise hnsw.ef_search for the users of Nearline and of the applications, with "
            "`alter role ... set hnsw.ef_search = ...` (`show hnsw.ef_search` says what it is), and try again."
        )
    return recall


def go_live(
    ledger: InterestLedger,
    by: str,
    because: str,
    *,
    is_wanted: Callable[[], bool] = lambda: True,
    before_commit: Callable[[], None] = lambda: None,
) -> int | None:
    """Catch a complete version up and make it the live one.

    Parameters
    ----------
    ledger
        Of the version, which its connection has taken (`nearline.adapters.version_tables.take_version`).
    by, because
        For the ledger of promotions.
    is_wanted
        Asked when nobody else can change what is live any more.
    before_commit
        Called in the transaction that flips.

    Returns
    -------
    int or None
        Events that were caught up with; None: it is not wanted any more.
    """
    connection = ledger.connection
    about = {"model_version": ledger.model_version, "by_whom": by, "because": because}
    ledger.shard.divide()
    events = ledger.catch_up()  # most of it, before anybody has to wait
    # What came after the version was loaded is in what the live one knows of people, so it has to be in this one.
    items = NewItems(ledger)
    items.take_for(PLACING_SECONDS)

    def flip() -> None:
        connection.execute(queries("publish")["promote"], about)
        before_commit()

    # Before the cursors, which catch_up_and locks: two who go live at once would wait for each other.
    with one_at_a_time(connection):
        if not is_wanted():
            return None
        return events + ledger.catch_up_and(flip, settle=lambda: items.take_for(0.0))


@contextmanager
def one_at_a_time(connection: Connection) -> Iterator[None]:
    """Wait for the right to read and change what is live, and hold it."""
    connection.execute(queries("publish")["lock_promotion"])
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute(queries("publish")["unlock_promotion"])
