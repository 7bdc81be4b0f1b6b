"""The task factories, run for real with jobs of the test's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

from nearline_airflow import tasks


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tasks, "JOBS", tmp_path)
    return tmp_path


def run(task: Any) -> None:
    context: dict[str, Any] = {}
    task.execute(context)


def test_python_job_gives_arguments_word_by_word(jobs: Path) -> None:
    hostile = "a b'; touch stolen; echo $HOME \""
    (jobs / "job.py").write_text("import json, sys, pathlib; pathlib.Path(__file__ + '.json').write_text(sys.argv[1])")
    run(tasks.python_job("job", hostile))
    assert (jobs / "job.py.json").read_text() == hostile
    assert not (jobs / "stolen").exists()


@pytest.mark.parametrize(("status", "expected"), [(99, AirflowSkipException), (1, AirflowException)])
def test_python_job_status(jobs: Path, status: int, expected: type[Exception]) -> None:
    (jobs / "job.py").write_text(f"import sys; sys.exit({status})")
    with pytest.raises(expected) as caught:
        run(tasks.python_job("job"))
    assert caught.type is expected


@pytest.fixture
def spark_submit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spark-submit that notes what it is told and ends as Spark's would: how the operator uses it is tested."""
    program = tmp_path / "bin" / "spark-submit"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/said\nexit ${{STATUS:-0}}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("AIRFLOW_CONN_NEARLINE_SPARK", '{"conn_type": "spark", "host": "local[2]"}')
    return tmp_path


@pytest.mark.parametrize(("status", "expected"), [(0, None), (99, AirflowSkipException), (1, AirflowException)])
def test_spark_job_status(
    spark_submit: Path, jobs: Path, monkeypatch: pytest.MonkeyPatch, status: int, expected: type[Exception] | None
) -> None:
    monkeypatch.setenv("STATUS", str(status))
    task = tasks.spark_job("job", "--run", "r 1")
    if expected is None:
        run(task)
    else:
        with pytest.raises(expected) as caught:
            run(task)
        assert caught.type is expected
    said = (spark_submit / "said").read_text()
    assert "--master local[2]" in said
    assert f"{jobs}/job.py --run r 1" in said
    assert ".memory" not in said  # Spark's own configuration says


def test_spark_submit_is_told_the_memory_of_the_setting(
    spark_submit: Path, jobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARLINE_SPARK_MEMORY", "3g")
    run(tasks.spark_job("job"))
    said = (spark_submit / "said").read_text()
    assert "--conf spark.driver.memory=3g" in said
    assert "--conf spark.executor.memory=3g" in said
