"""Failures in a row: the wait doubles for the same one, and begins anew for another or for something else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nearline.adapters.failed_tries import LONGEST_WAIT, FailedTries
from nearline.errors import GateRefused

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def tries(tmp_path: Path) -> FailedTries:
    return FailedTries(tmp_path / "state" / "tries.json")


def test_the_wait_doubles_up_to_its_longest(tries: FailedTries) -> None:
    waits = [tries.add("7", OSError(f"{number} bytes left"), NOW).due - NOW for number in range(40)]
    assert [wait.total_seconds() for wait in waits[:6]] == [0, 90, 180, 360, 720, 1440]
    assert waits[6:] == [LONGEST_WAIT] * 34


def test_what_is_not_due_is_refused_with_what_to_do(tries: FailedTries) -> None:
    tries.check("version 7", now=NOW)
    for _ in range(2):
        tries.add("version 7", OSError("no space"), NOW)
        tries.check("version 8", now=NOW)
    with pytest.raises(
        GateRefused, match=r"version 7 failed 2 times .* at 12:01:30 UTC.*no space.*delete .*; or wait\."
    ):
        tries.check("version 7", "; or wait", NOW + timedelta(seconds=89))
    tries.check("version 7", now=NOW + timedelta(seconds=90))


def test_another_failure_or_another_thing_begins_anew(tries: FailedTries) -> None:
    for _ in range(3):
        tries.add("7", OSError("no space"), NOW)
    assert tries.of("8") is None
    assert tries.add("7", ValueError("no space"), NOW).count == 1
    assert tries.add("7", ValueError("no space"), NOW + timedelta(minutes=1)).count == 2
    assert tries.add("8", ValueError("no space"), NOW).count == 1
    assert tries.of("7") is None


def test_what_is_forgotten_or_cannot_be_read_was_not(tries: FailedTries) -> None:
    tries.forget()
    tries.add("7", OSError("no space"), NOW)
    assert tries.of("7") is not None
    tries.path.write_text('{"what": "7"')
    assert tries.of("7") is None
    tries.path.write_text('{"what": "7"}')
    assert tries.of("7") is None
    tries.add("7", OSError("no space"), NOW)
    tries.forget()
    assert tries.of("7") is None
    assert list(tries.path.parent.iterdir()) == []
