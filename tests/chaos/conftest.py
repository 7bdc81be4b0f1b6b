"""Fixtures of the chaos tests: processes to kill, and a server of their own to stop, with a shop for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chaos.processes import ForkServer
from chaos.shop import Server, Shop
from nearline.settings import Settings


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """Where refresh processes are forked from."""
    forks = ForkServer(tmp_path_factory.mktemp("refresh"))
    yield forks
    forks.close()


@pytest.fixture(scope="session")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that may be stopped and killed, which the one of the session may not."""
    server = Server(Settings(home=tmp_path_factory.mktemp("own-server")))
    yield server
    server.close()


@pytest.fixture
def shop(own_server: Server, forks: ForkServer) -> Iterator[Shop]:
    """A fresh shop."""
    with own_server.shop(forks) as shop:
        yield shop
