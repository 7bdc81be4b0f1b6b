"""A process that must not outlive the one that started it."""

from __future__ import annotations

import ctypes
import signal
import sys


def end_with_parent() -> None:
    """Have this process killed as soon as the one that started it is gone; on Linux.

    A driver of spark-submit would go on when its JVM is killed, as Airflow does at a time-out, and torchrun gives its
    processes sessions of their own: both would write into the same folder as the job's next try.
    """
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG of linux/prctl.h
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
