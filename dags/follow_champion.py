"""All the time: serve the version that MLflow's alias `champion` points to."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from nearline_airflow.assets import MODEL
from nearline_airflow.tasks import python_job

DOC = """
### Promote or roll back in MLflow

Move the alias `champion` of the registered model `nearline-interest` to another version, and `follow_champion` makes
that one live in SQL within a minute. Nearly always there is nothing to do, and it ends at once.

* **Its tables are here** (state `kept` in `nearline.versions`; `NEARLINE_KEEP_VERSIONS` says how many stay): it catches
  up with what came since, and goes live.
* **They were dropped**, or a load of them died: they are loaded anew from MLflow beside the live version, then it goes
  live.
* **It cannot be served** (never judged, of an older format, from another MLflow): the task fails, says why and what to
  do, and the live version stays.
* **It fails in the same way again**: it is tried after longer and longer waits, at last twice an hour; the task is
  skipped and says when. Moving the alias begins anew.
* **The alias was deleted**: the task is skipped and says so; the live version stays.

`nearline.promotions` says who and why, if you tell: set the tags `nearline.moved_by` and `nearline.moved_because` of
the version before you move the alias. They are taken off when it is live.

**Retries are off**: the next run is the retry. A second run may start while one is loading a version, so that the
alias is followed meanwhile.
"""

with DAG(
    dag_id="follow_champion",
    description="Serve the version that MLflow's alias champion points to",
    doc_md=DOC,
    schedule=timedelta(seconds=45),  # with the start of a task and of a process, the alias is followed within a minute
    catchup=False,
    max_active_runs=2,
    dagrun_timeout=timedelta(hours=12),
    default_args={"owner": "nearline"},
    tags=["nearline", "serving"],
):
    python_job("follow_champion", minutes=700, retries=0, inlets=[MODEL])
