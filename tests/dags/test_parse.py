"""DAG files are read every few seconds: quickly, and without what only jobs need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DAG_FILES = sorted((REPOSITORY / "dags").glob("*.py"))
HEAVY = {"torch", "transformers", "pyspark", "mlflow", "pandas", "numpy", "psycopg", "nearline"}

# What a DAG file costs beyond airflow.sdk itself, which the DAG processor has imported once before it reads any.
READ = """
import json, runpy, sys, time
import airflow.sdk
from airflow.sdk import DAG, Asset, CronTriggerTimetable, Param
before = set(sys.modules)
sys.path.insert(0, sys.argv[1])
began = time.process_time()
runpy.run_path(sys.argv[2])
print(json.dumps({"seconds": time.process_time() - began, "before": sorted(before), "after": sorted(sys.modules)}))
"""


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.stem)
def test_dag_file_is_light(path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", READ, str(REPOSITORY / "plugins"), str(path)],
        capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": ""},
    ).stdout  # fmt: skip
    read = json.loads(answer.splitlines()[-1])

    # Airflow itself may import one of them one day; what counts is what our files add.
    assert HEAVY & (set(read["after"]) - set(read["before"])) == set()
    assert read["seconds"] < 1.0


def test_all_dags_are_here() -> None:
    assert [path.stem for path in DAG_FILES] == [
        "daily_training", "follow_champion", "housekeeping", "ingest_files", "nearline_interests",
    ]  # fmt: skip
