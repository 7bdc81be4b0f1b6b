"""Some random schedules of faults; ``make chaos`` runs many more."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chaos.processes import ForkServer
from chaos.schedules import compose, play
from chaos.shop import Server

FIRST = datetime.now(UTC).toordinal() * 100
"""Other ones every day."""


@pytest.mark.parametrize("number", range(10))
def test_a_random_schedule(own_server: Server, forks: ForkServer, number: int) -> None:
    schedule = compose(FIRST + number)
    outcome = play(schedule, own_server, forks)
    assert outcome.findings.problems == [], f"{schedule}\nagain: make chaos SCHEDULES=1 SEED={schedule.seed}"
