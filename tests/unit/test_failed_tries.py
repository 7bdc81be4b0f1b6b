"""Failures in a row: the wait doubles for the same one, and begins anew for another or for something else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nearline.adapters.failed_tries import KILLED, LONGEST_WAIT, FailedTries, Tries
from nearline.errors import GateRefused, StackError

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def tries(tmp_path: Path) -> FailedTries:
    return FailedTries(tmp_path / "state" / "tries.json")


def fail(tries: FailedTries, what: str, problem: BaseException, now: datetime = NOW) -> Tries:
    with pytest.raises(type(problem)), tries.counted(what, StackError, now=now):
        raise problem
    noted = tries.of(what)
    assert noted is not None
    return noted


def test_the_wait_doubles_up_to_its_longest(tries: FailedTries) -> None:
    waits = [fail(tries, "7", OSError(f"{number} bytes left")).due - NOW for number in range(40)]
    assert [wait.total_seconds() for wait in waits[:6]] == [0, 90, 180, 360, 720, 1440]
    assert waits[6:] == [LONGEST_WAIT] * 34


def test_what_is_not_due_is_refused_with_what_to_do(tries: FailedTries) -> None:
    tries.check("version 7", now=NOW)
    for _ in range(2):
        fail(tries, "version 7", OSError("no space"))
        tries.check("version 8", now=NOW)
    with pytest.raises(
        GateRefused, match=r"version 7 failed 2 times .* at 12:01:30 UTC.*no space.*delete .*; or wait\."
    ):
        tries.check("version 7", "; or wait", NOW + timedelta(seconds=89))
    tries.check("version 7", now=NOW + timedelta(seconds=90))


def test_a_killed_process_is_counted_and_what_does_not_count_is_not(tries: FailedTries) -> None:
    assert fail(tries, "7", OSError("no space")).count == 1
    # Neither runs an `except Exception`.
    assert [fail(tries, "7", SystemExit()).count, fail(tries, "7", KeyboardInterrupt()).count] == [1, 2]
    before = fail(tries, "7", SystemExit())
    assert (before.failure, before.count) == (KILLED, 3)
    assert fail(tries, "7", StackError("away"), NOW + timedelta(hours=1)) == before
    with tries.counted("7", now=NOW):
        assert tries.of("7") == Tries("7", KILLED, 4, NOW.isoformat()), "noted before it begins"
    assert tries.of("7") is None


def test_another_failure_or_another_thing_begins_anew(tries: FailedTries) -> None:
    for _ in range(3):
        fail(tries, "7", OSError("no space"))
    assert tries.of("8") is None
    assert fail(tries, "7", ValueError("no space")).count == 1
    assert fail(tries, "7", ValueError("no space"), NOW + timedelta(minutes=1)).count == 2
    assert fail(tries, "8", ValueError("no space")).count == 1
    assert tries.of("7") is None


def test_what_is_forgotten_or_cannot_be_read_was_not(tries: FailedTries) -> None:
    tries.forget()
    fail(tries, "7", OSError("no space"))
    tries.path.write_text('{"what": "7"')
    assert tries.of("7") is None
    tries.path.write_text('{"what": "7"}')
    assert tries.of("7") is None
    fail(tries, "7", OSError("no space"))
    tries.forget()
    assert tries.of("7") is None
    with pytest.raises(StackError), tries.counted("7", StackError):
        raise StackError("away")
    assert list(tries.path.parent.iterdir()) == []
