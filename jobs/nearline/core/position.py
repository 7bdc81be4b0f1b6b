"""How far the ledger was read: a snapshot of Postgres, which says of every transaction whether it was done by then.

A number would not do. Transactions commit in another order than they began, so "all up to 117" either loses one that
commits late or waits for the slowest; a snapshot names those that were still open: ``114:118:114,116`` is everything
below 118 but 114 and 116. (PostgreSQL, "pg_snapshot components", functions-info.)

Positions form a lattice: `join` is the smallest one that has all that either has. So whatever was read in whatever
order, by however many readers, what is known only grows.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from nearline.errors import InputError


@dataclass(frozen=True)
class Position:
    """Everything from transactions below ``end``, except those that were ``open`` then."""

    end: int
    open: frozenset[int] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read Postgres' own form.

        >>> Position.parse("114:118:114,116") == Position(118, frozenset({114, 116}))
        True

        Raises
        ------
        InputError
            For anything else.
        """
        try:
            _, end, still_open = text.split(":")
            return cls(int(end), frozenset(int(one) for one in still_open.split(",") if one))
        except ValueError:
            raise InputError(f"A position: expected a pg_snapshot such as 114:118:114,116, saw {text!r}.") from None

    def __str__(self) -> str:
        """Postgres' own form.

        >>> str(Position(118, frozenset({116, 114}))), str(Position(118))
        ('114:118:114,116', '118:118:')
        """
        if not self.open:
            return f"{self.end}:{self.end}:"
        still_open = sorted(self.open)
        return f"{min([*still_open, self.end])}:{self.end}:{','.join(map(str, still_open))}"

    def has(self, transaction: int) -> bool:
        """Whether what that transaction wrote is part of this; `pg_visible_in_snapshot` in SQL."""
        return transaction < self.end and transaction not in self.open

    def without(self, transactions: Collection[int]) -> Position:
        """Return this as if those were still open.

        >>> str(Position.parse("114:118:114").without([116, 120]))
        '114:118:114,116'
        """
        return Position(self.end, self.open.union(one for one in transactions if one < self.end))

    def including(self, transactions: Collection[int]) -> Position:
        """Return this with those among them that were open; what comes after its end stays unknown.

        >>> str(Position.parse("114:118:114,116").including([116, 120]))
        '114:118:114'
        """
        return Position(self.end, self.open.difference(transactions))

    def until(self, transaction: int) -> Position:
        """Return the part of this that ends with ``transaction``, for a reader that stops early.

        >>> str(Position.parse("114:118:114,117").until(116))
        '114:117:114'
        """
        end = min(self.end, transaction + 1)
        return Position(end, frozenset(one for one in self.open if one < end))

    def join(self, other: Position) -> Position:
        """Return the smallest position that has all that either has.

        >>> str(Position.parse("114:120:114,116").join(Position.parse("116:118:116")))
        '116:120:116'
        """
        low, high = sorted((self, other), key=lambda one: one.end)
        return Position(high.end, frozenset(one for one in high.open if not low.has(one)))
