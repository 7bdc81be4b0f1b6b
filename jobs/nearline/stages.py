"""The stages of a long command: announced as they begin, timed as they end."""

from __future__ import annotations

import time


class Stages:
    """Announces each stage and keeps how many seconds it took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._began = time.monotonic()
        self._open: tuple[str, float] | None = None

    def elapsed(self) -> float:
        """Seconds since the first stage began."""
        return time.monotonic() - self._began

    def begin(self, title: str) -> None:
        """End the stage before and announce the next."""
        self.end()
        self._open = (title, self.elapsed())
        print(f"\n[{self.elapsed():4.0f} s] {title}", flush=True)

    def end(self) -> None:
        """End the stage that is open."""
        if self._open is not None:
            title, since = self._open
            self.seconds[title] = round(self.elapsed() - since, 1)
            self._open = None
