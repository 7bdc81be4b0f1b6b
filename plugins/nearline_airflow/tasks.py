"""Task factories: how a file of jobs/ becomes an Airflow task.

Airflow launches the engine and never imports it: a task is a process of its own, on Spark or on plain Python, and
talks to Airflow by its exit status: 0 done, 99 nothing to be done (shown as skipped, as what follows), else failed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

from nearline_airflow.environment import spark_memory

if TYPE_CHECKING:
    from airflow.sdk.definitions.mappedoperator import MappedOperator

JOBS = Path(__file__).resolve().parents[2] / "jobs"
REFUSED = 99

RUN = "{{ run_id | replace(':', '') | replace('+', '_') }}"
"""Name of a daily run's folder: the run's id, without what a file system or a URI could take amiss."""

RETRY: dict[str, Any] = {
    "retries": 2,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),
}
"""For tasks that a busy database or a lost worker may fail; every job is harmless when it runs twice."""


class SparkJob(SparkSubmitOperator):
    """spark-submit of one job; exit status 99 is shown as skipped, which the provider's operator does not know."""

    def execute(self, context: Context) -> None:
        """Run the job."""
        try:
            super().execute(context)
        except AirflowException:
            process = self._hook._submit_sp if self._hook else None
            if process is not None and process.returncode == REFUSED:
                raise AirflowSkipException("The job refused to go on; its last lines say why.") from None
            raise


def spark_job(
    task_id: str, *arguments: str, job: str | None = None, hours: float = 2.0, **options: Any
) -> SparkSubmitOperator:
    """Run a job of jobs/ on the Spark of the connection ``nearline_spark``.

    Parameters
    ----------
    arguments
        Passed to the job, may hold Jinja.
    job
        Name of its file, without ``.py``; the same as ``task_id`` by default.
    hours
        The task fails after so many.
    """
    memory = spark_memory()
    return SparkJob(
        task_id=task_id,
        conn_id="nearline_spark",
        application=str(JOBS / f"{job or task_id}.py"),
        application_args=list(arguments),
        name=f"nearline {task_id}",
        # spark-submit sizes the JVM before the job can. Without the setting, Spark's own configuration counts.
        conf={f"spark.{part}.memory": memory for part in ("driver", "executor")} if memory else None,
        execution_timeout=timedelta(hours=hours),
        **{**RETRY, **options},
    )


def python_job(
    task_id: str, *arguments: str, job: str | None = None, minutes: float = 60.0, **options: Any
) -> BashOperator:
    """Run a job of jobs/ in a Python process of its own; parameters as for `spark_job`."""
    return BashOperator(env=_variables(arguments), **_python(task_id, job, len(arguments), minutes, options))


def python_job_a_shard(task_id: str, shards: int, *, minutes: float = 60.0, **options: Any) -> MappedOperator:
    """`python_job` for each shard of the people, side by side: a mapped task, also where there is but one shard.

    Each is told its number and how many the scheduler made. A worker reads the DAG file as well, and may have another
    NEARLINE_SHARDS: so what it finds there is the same for any number.
    """
    made = "{{ ti.get_ti_count(dag.dag_id, task_ids=[task.task_id], run_ids=[run_id]) }}"
    told = _variables(("--shard", "{{ ti.map_index }}", "--of", made))
    return BashOperator.partial(
        map_index_template="shard {{ ti.map_index }}", **_python(task_id, None, len(told), minutes, options)
    ).expand(env=[told] * shards)


def _python(task_id: str, job: str | None, count: int, minutes: float, options: dict[str, Any]) -> dict[str, Any]:
    words = [f'"$ARGUMENT_{number}"' for number in range(count)]
    return {
        "task_id": task_id,
        "bash_command": " ".join(["exec", f'"{sys.executable}"', f'"{JOBS}/{job or task_id}.py"', *words]),
        "append_env": True,
        "skip_on_exit_code": REFUSED,
        "do_xcom_push": False,
        "execution_timeout": timedelta(minutes=minutes),
        **RETRY,
        **options,
    }


def _variables(arguments: Sequence[str]) -> dict[str, str]:
    # Values reach the job through variables: what a param holds is then never read as shell.
    return {f"ARGUMENT_{number}": argument for number, argument in enumerate(arguments)}
