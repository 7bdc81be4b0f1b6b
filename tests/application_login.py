"""A login of an application, made as sql/README.md says: roles of a server outlive its databases, so it is dropped."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import make_conninfo

from nearline.adapters.postgres import dsn
from nearline.settings import Settings

_numbers = itertools.count(1)


@contextmanager
def application_login(settings: Settings, **limits: str) -> Iterator[str]:
    """DSN of a role that can log in, read and record, with the settings ``limits``."""
    name = f"shop_web_{next(_numbers)}"
    with psycopg.connect(dsn(settings), autocommit=True) as admin:
        admin.execute(f"create role {name} login in role nearline_reader, nearline_writer".encode())
        for setting, value in limits.items():
            admin.execute(f"alter role {name} set {setting} = '{value}'".encode())
        try:
            yield make_conninfo(dsn(settings), user=name)
        finally:
            # One that ends still owns its temporary tables for a moment.
            for _ in range(200):
                ending = "select pg_terminate_backend(pid) from pg_stat_activity where usename = %s"
                if not admin.execute(ending, (name,)).fetchall():
                    break
                time.sleep(0.02)
            admin.execute(f"drop role {name}".encode())
