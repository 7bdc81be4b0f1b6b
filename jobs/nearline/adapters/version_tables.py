"""The four tables of a model version, partitions each: of items, transitions, searches and people."""

from __future__ import annotations

from nearline.adapters.postgres import Connection, queries

PARTS = ("item_embedding", "item_transition", "query_embedding", "user_interest")


def make_tables(connection: Connection, version: int) -> None:
    """Make them anew and empty, whatever an earlier try that died has left."""
    drop_tables(connection, version)
    connection.execute(queries("publish")["create_partitions"], {"model_version": version})


def drop_tables(connection: Connection, version: int) -> None:
    """Drop those of a version that is not live, each in a transaction of its own: then nobody waits in a circle."""
    for part in PARTS:
        connection.execute(queries("publish")["drop_part"], {"model_version": version, "part": part})
