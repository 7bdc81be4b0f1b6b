"""A request to stop: heard while waiting, and made by a signal at any moment of a wait."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from nearline.adapters.stop import Stop

JOBS = Path(__file__).parents[2] / "jobs"
WAITS = f"""
import signal, sys
sys.path.insert(0, {str(JOBS)!r})
from nearline.adapters.stop import Stop
stops = []
signal.signal(signal.SIGTERM, lambda *_: stops[-1].set())
for _ in range(10_000):
    stops.append(Stop())
    if len(stops) == 1:
        print("ready", flush=True)
    while not stops[-1].wait(1e-6):
        pass
signal.signal(signal.SIGTERM, signal.SIG_IGN)
"""
"""Waits in steps so short that most signals come between them, until it was asked 10,000 times."""


def test_waits_no_longer_than_told_and_not_at_all_when_asked() -> None:
    stop = Stop()
    assert not stop.wait(0.01)
    assert not stop.is_set()
    threading.Timer(0.05, stop.set).start()
    began = time.monotonic()
    assert stop.wait(20.0)
    assert stop.wait(20.0)
    assert stop.is_set()
    assert time.monotonic() - began < 10.0


def test_a_signal_asks() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    try:
        stop = Stop.on_signals(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
        assert stop.is_set()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_signal_at_any_moment_of_a_wait_is_heard() -> None:
    """`threading.Event` waits for itself here within some thousand signals."""
    with subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            give_up = time.monotonic() + 30.0
            while process.poll() is None and time.monotonic() < give_up:
                process.send_signal(signal.SIGTERM)
                time.sleep(1e-5)
            assert process.poll() == 0
        finally:
            process.kill()
