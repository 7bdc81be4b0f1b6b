"""One Spark for all integration tests: starting it takes longer than most of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from nearline.adapters.spark import session
from nearline.settings import Settings


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A local session; jobs that ask for one get this one."""
    logging.getLogger("py4j").setLevel(logging.WARNING)  # it says goodbye when the streams are closed already
    started = session(Settings(home=tmp_path_factory.mktemp("spark"), spark_master="local[2]"), "tests")
    yield started
    started.stop()
