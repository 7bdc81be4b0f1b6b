"""Where a batch of unread events ends: with a transaction, and with no more events than are asked for.

A transaction that alone has more is taken by itself, and is for the reader to read person by person.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nearline.core.position import Position


class Batch(NamedTuple):
    """What a reader takes next, from some position on."""

    until: Position
    """Everything that the reader knows once it has this."""
    is_last: bool
    """Whether that is all that was committed."""
    large: int | None = None
    """The only transaction of the batch, where not all of its events are among those that were looked at."""


def next_batch(transactions: Sequence[int], position: Position, now: Position, most: int) -> Batch:
    """Choose what to read next.

    Parameters
    ----------
    transactions
        Those of events that ``now`` has and ``position`` has not, one for each event, but of each sort (those that
        were open in ``position``, and those that came after it) only the first ``most``, ordered by number.

    >>> before, now = Position.parse("7:10:7"), Position.parse("15:15:")
    >>> next_batch([7, 10, 11], before, now, 5)
    Batch(until=Position(end=15, open=frozenset()), is_last=True, large=None)
    >>> str(next_batch([10, 10, 11], before, now, 3).until), next_batch([12, 12, 12], before, now, 3).large
    ('11:11:', 12)
    """
    late = [one for one in transactions if one < position.end]
    new = [one for one in transactions if one >= position.end]
    if len(late) >= most:
        last = max(late)
        whole = {one for one in late if one < last}
        return Batch(Position(position.end, position.open - (whole or {last})), False, None if whole else last)
    if len(new) >= most:
        last = max(new)
        if late or min(new) < last:
            return Batch(now.until(last - 1), False)
        return Batch(now.until(last), False, last)
    return Batch(now, True)
