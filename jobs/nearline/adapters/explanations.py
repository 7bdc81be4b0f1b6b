"""Measure what single events contribute to an interest, for the people of whom nearline.explain was asked.

What an event contributes is the difference to the vector without it, and that is for the model to say. It is computed
by the code that makes the stored vectors, from the same part of the ledger less one event, and belongs to one stored
vector: when that is written anew it counts no more.
"""

from __future__ import annotations

import logging
from typing import Any

from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import queries
from nearline.core.position import Position

log = logging.getLogger("nearline.refresh")

EVENTS_A_PERSON = 30
"""As many as nearline.recommend reads."""
PEOPLE_A_TURN = 4
"""Between two looks at the ledger: what people do goes before what is asked about them."""


class Explanations:
    """What nearline.explain was asked about one shard of the people, for the version of a ledger of interests."""

    def __init__(self, ledger: InterestLedger) -> None:
        self.ledger = ledger
        self._shard = ledger.shard
        self._sql = queries("explanations")

    def take(self) -> int:
        """Measure for some of the people that were asked about, in one transaction; returns how many were.

        Raises
        ------
        ShardsChanged
            When the people were divided anew.
        """
        if not self._shard.rows(self._sql["is_asked"])[0][0]:  # nearly always; and a look costs no transaction id
            return 0
        with self._shard.connection.transaction():
            self.ledger.position()  # nobody else writes vectors of these people until this is done
            asked = [user for (user,) in self._shard.rows(self._sql["wanted"], max_people=PEOPLE_A_TURN)]
            stored = self._shard.rows(self._sql["stored"], users=asked)
            self._shard.execute(self._sql["forget_measured"], users=[user for user, _, _ in stored])
            for user, position, interest_at in stored:
                self._measure(user, position, interest_at)
            self._shard.execute(self._sql["take_wanted"], users=asked)
        if stored:
            log.info("measured what single events of %d people contribute: somebody asked", len(stored))
        return len(asked)

    def _measure(self, user: str, position: str, interest_at: Any) -> None:
        rows = self._shard.rows(self._sql["newest_events"], user=user, position=position, max_events=EVENTS_A_PERSON)
        vectors = self.ledger.writer.interests_without(user, Position.parse(position), [event for (event,) in rows])
        with self._shard.connection.cursor() as cursor:
            cursor.executemany(
                self._sql["save_measured"],
                [
                    self._shard.values({"user": user, "event": event, "vector": vector, "interest_at": interest_at})
                    for event, vector in vectors.items()
                ],
            )
