"""How much memory the whole local stack takes at its peak, with every task it starts."""

from __future__ import annotations

import threading
from types import TracebackType

import psutil

from nearline.adapters.processes import family, memory
from nearline.adapters.stack_servers import main_processes
from nearline.settings import Settings

SECONDS_BETWEEN = 3.0


class MemoryWatch:
    """Context manager that samples until it is left; ``peak`` is in bytes, shared pages counted once."""

    def __init__(self, settings: Settings) -> None:
        self.peak = 0
        self._settings = settings
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(SECONDS_BETWEEN):
            mains = [psutil.Process(), *main_processes(self._settings)]
            members = {process.pid: process for main in mains for process in family(main)}
            self.peak = max(self.peak, memory(members.values()))
