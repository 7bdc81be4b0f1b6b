"""A job that Airflow started ends with the process that runs the task, so that the next try does not meet it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

JOB = """
import sys, time
from nearline.errors import run_job
run_job(lambda: print("ready", flush=True) or time.sleep(60) or 0)
"""
TASK = """
import subprocess, sys
job = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, start_new_session=True, text=True)
job.stdout.readline()
print(job.pid, flush=True)
job.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
@pytest.mark.parametrize("by_airflow", [True, False])
def test_a_job_ends_with_its_task(by_airflow: bool) -> None:
    environment = {**os.environ, **({"AIRFLOW_CTX_TASK_ID": "embed_items"} if by_airflow else {})}
    if not by_airflow:
        environment.pop("AIRFLOW_CTX_TASK_ID", None)
    task = subprocess.Popen([sys.executable, "-c", TASK, JOB], stdout=subprocess.PIPE, env=environment, text=True)
    assert task.stdout is not None
    job = psutil.Process(int(task.stdout.readline()))
    task.kill()
    task.wait()
    try:
        job.wait(timeout=5)
        ended = True
    except psutil.TimeoutExpired:
        ended = False
        job.send_signal(signal.SIGKILL)
    task.stdout.close()
    assert ended == by_airflow, "by hand it may well go on when its shell is closed"
