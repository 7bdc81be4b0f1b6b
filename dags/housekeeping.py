"""Once a day: drop what is past its time, so that nothing grows for ever."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from nearline_airflow.tasks import python_job

DOC = """
### Retention

`keep_house` drops the tables of old model versions (never the live one, nor the newest `NEARLINE_KEEP_VERSIONS` that
were live) and of loads that died a day ago or more; `nearline.versions` shows what is here. It also drops old run
folders, old rejected rows and exposures, and makes next months' event partitions. It deletes no event: those move to
Parquet in `daily_training`'s `archive_events`.

Starts at 04:00 UTC; running it twice is harmless.
"""

with DAG(
    dag_id="housekeeping",
    description="Drop old versions, runs and rejected rows; prepare next months' partitions",
    doc_md=DOC,
    schedule=CronTriggerTimetable("0 4 * * *", timezone="UTC", run_immediately=timedelta()),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    default_args={"owner": "nearline"},
    tags=["nearline", "maintenance"],
):
    python_job("keep_house")
