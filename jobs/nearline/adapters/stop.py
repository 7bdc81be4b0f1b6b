"""A request to stop, as a signal makes it."""

from __future__ import annotations

import signal
from contextlib import suppress
from queue import Empty, SimpleQueue


class Stop:
    """Asked for once, by a signal or by another thread; one thread waits for it.

    Not a `threading.Event`: a handler of signals runs in the main thread between any two steps of what that does, and
    where it does `Event.wait` the handler's `Event.set` waits for a lock that its own thread holds, for ever.
    `SimpleQueue.put` may interrupt a `get` (https://docs.python.org/3/library/queue.html#queue.SimpleQueue.put).
    """

    def __init__(self) -> None:
        self._is_set = False
        self._wake: SimpleQueue[None] = SimpleQueue()

    @classmethod
    def on_signals(cls, *numbers: signal.Signals) -> Stop:
        """One that these signals ask for; for the main thread."""
        stop = cls()
        for number in numbers:
            signal.signal(number, lambda *_: stop.set())
        return stop

    def set(self) -> None:
        """Ask to stop."""
        self._is_set = True
        self._wake.put(None)

    def is_set(self) -> bool:
        """Whether it was asked for."""
        return self._is_set

    def wait(self, seconds: float) -> bool:
        """Wait until it is asked for, at most so long; whether it was."""
        if not self._is_set:
            with suppress(Empty):
                self._wake.get(timeout=max(0.0, seconds))
        return self._is_set
