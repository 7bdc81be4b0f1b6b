"""How often something has failed in the same way, kept in a file: each time the next try waits twice as long."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from nearline.errors import GateRefused

FIRST_WAIT = timedelta(seconds=90)
LONGEST_WAIT = timedelta(minutes=30)
KILLED = "nothing, as its process was killed: it took too much memory, or somebody stopped it"


@dataclass(frozen=True)
class Tries:
    """What failed, how, how many times in a row, and when last (ISO 8601, UTC)."""

    what: str
    failure: str
    count: int
    last_at: str

    @property
    def due(self) -> datetime:
        """When to try again, aware: after the first failure at once, then 90 s, 3 minutes, ... half an hour later."""
        wait = timedelta() if self.count < 2 else min(FIRST_WAIT * 2 ** min(self.count - 2, 20), LONGEST_WAIT)
        return datetime.fromisoformat(self.last_at) + wait


class FailedTries:
    """The file ``path``: about one thing at a time, so that another one begins anew."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def of(self, what: str) -> Tries | None:
        """Its failures in a row; None: there are none, or of something else."""
        try:
            tries = Tries(**json.loads(self.path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None  # cut off by a full disk, perhaps: trying is always right
        return tries if tries.what == what else None

    def check(self, what: str, otherwise: str = "", now: datetime | None = None) -> None:
        """Pass where it is time for a try.

        Raises
        ------
        GateRefused
            When it is not yet; ``otherwise`` is what may be done instead of waiting.
        """
        tries = self.of(what)
        if tries and tries.due > (now or datetime.now(UTC)):
            raise GateRefused(
                f"The {what} failed {tries.count} times in the same way; the next try is at {tries.due:%H:%M:%S} UTC. "
                f"It said: {tries.failure}. Fix: that, then delete {self.path} to have it tried at once{otherwise}."
            )

    @contextmanager
    def counted(self, what: str, *but_not: type[Exception], now: datetime | None = None) -> Iterator[None]:
        """Count what is done inside: a failure that is not like the last begins anew, numbers in its words aside.

        It is noted before it begins, as one that is killed can note nothing. Only one process at a time may be at it.

        Parameters
        ----------
        but_not
            Failures that do not count.
        """
        before = self.of(what)

        def note(failure: str) -> None:
            count = before.count + 1 if before and before.failure == failure else 1
            self._write(Tries(what, failure, count, (now or datetime.now(UTC)).isoformat()))

        note(KILLED)
        try:
            yield
        except but_not:
            if before:
                self._write(before)
            else:
                self.forget()
            raise
        except Exception as problem:
            note(f"{type(problem).__name__}: {re.sub(r'[0-9]+', '#', str(problem))[:500]}")
            raise
        self.forget()

    def _write(self, tries: Tries) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(f".{uuid4().hex}.new")
        new.write_text(json.dumps(asdict(tries)), encoding="utf-8")
        new.replace(self.path)

    def forget(self) -> None:
        """It works, or is no longer wanted."""
        self.path.unlink(missing_ok=True)
