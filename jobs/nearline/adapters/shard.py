"""One shard of the people: its statements, and the lock of the run that refreshes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import sql

from nearline.adapters.postgres import Connection, queries


class ShardsChanged(Exception):
    """The people were divided anew, and this reader's shard is no more; nothing is wrong."""


@dataclass(frozen=True)
class Shard:
    """The people whose hash modulo ``count`` is ``number``, as one model version knows them.

    Its statements are given ``model_version``, ``shard`` and ``shard_count`` besides the values that are named.
    """

    connection: Connection
    model_version: int
    number: int = 0
    count: int = 1

    def rows(self, query: sql.SQL, *, binary: bool = False, **values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query; ``binary``: received so, which is faster for vectors."""
        with self.connection.cursor(binary=binary) as cursor:
            return cursor.execute(query, self.values(values)).fetchall()

    def one(self, query: sql.SQL, **values: Any) -> tuple[Any, ...]:
        """The first row of a query that has one."""
        return self.rows(query, **values)[0]

    def execute(self, query: sql.SQL, **values: Any) -> None:
        """Run a statement."""
        self.connection.execute(query, self.values(values))

    def values(self, values: dict[str, Any]) -> dict[str, Any]:
        """Values of a statement, with the shard's own."""
        ours = {"model_version": self.model_version, "shard": self.number, "shard_count": self.count}
        return {**ours, **values}

    def lock(self) -> bool:
        """Try to become the one that drains this shard until the connection ends; False: another one does."""
        return bool(self.one(queries("refresh")["try_lock"])[0])

    def lock_next(self) -> bool:
        """Say that this run is ready to drain after the one that does; False: another one waits already."""
        return bool(self.one(queries("refresh")["try_lock_next"])[0])

    def unlock_next(self) -> None:
        """Take that back."""
        self.rows(queries("refresh")["unlock_next"])

    def has_successor(self) -> bool:
        """Whether another run is ready to drain this shard."""
        if self.lock_next():
            self.unlock_next()
            return False
        return True

    def divide(self) -> None:
        """Divide the people into ``count`` shards, where they are divided otherwise."""
        with self.connection.transaction():
            self.execute(queries("refresh")["set_shards"])
