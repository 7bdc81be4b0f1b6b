"""Task factories: how a file of jobs/ becomes an Airflow task.

Airflow launches the engine and never imports it: a task is a process of its own, on Spark or on plain Python, and
talks to Airflow by its exit status: 0 done, 99 nothing to be done (shown as skipped, as what follows), else failed.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

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
    return SparkJob(
        task_id=task_id,
        conn_id="nearline_spark",
        application=str(JOBS / f"{job or task_id}.py"),
        application_args=list(arguments),
        name=f"nearline {task_id}",
        execution_timeout=timedelta(hours=hours),
        **{**RETRY, **options},
    )


def python_job(
    task_id: str, *arguments: str, job: str | None = None, minutes: float = 60.0, **options: Any
) -> BashOperator:
    """Run a job of jobs/ in a Python process of its own; parameters as for `spark_job`."""
    # Values reach the job through variables: what a param holds is then never read as shell.
    names = [f"ARGUMENT_{number}" for number in range(len(arguments))]
    words = [f'"${name}"' for name in names]
    return BashOperator(
        task_id=task_id,
        bash_command=" ".join(["exec", f'"{sys.executable}"', f'"{JOBS}/{job or task_id}.py"', *words]),
        env=dict(zip(names, arguments, strict=True)),
        append_env=True,
        skip_on_exit_code=REFUSED,
        do_xcom_push=False,
        execution_timeout=timedelta(minutes=minutes),
        **{**RETRY, **options},
    )
