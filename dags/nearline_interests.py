"""Every minute: turn the newest events into interest vectors."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from nearline_airflow.assets import EVENTS, INTERESTS, ITEM_EMBEDDINGS, MODEL
from nearline_airflow.tasks import python_job

DOC = """
### New events become interest vectors

One task that drains: it reads what was committed since its cursor, computes the vectors of the people concerned, writes
them together with the cursor, and goes on like that for a little more than a minute. The next run loads its model in
the meantime and takes over. So Airflow's cost is paid once a minute, and an event is in its vector within a second
or two.

* The position is a **cursor in Postgres**, never Airflow's data interval: a late, repeated or overlapping run changes
  nothing, and after an hour's pause the next run catches up.
* A vector is a pure function of the event ledger. Running twice gives the same vectors.
* **Retries are off**: the next minute is the retry.
* Before the first model is live it says so and ends well.

How far behind is it? `select * from nearline.freshness;` or *Browse → Nearline*.
"""

with DAG(
    dag_id="nearline_interests",
    description="Newest events to interest vectors, drained all the time",
    doc_md=DOC,
    schedule=timedelta(minutes=1),
    catchup=False,
    # A run drains a little longer than a minute; the next one loads its model meanwhile and takes over without a gap.
    max_active_runs=2,
    dagrun_timeout=timedelta(minutes=10),
    default_args={"owner": "nearline"},
    tags=["nearline", "serving"],
):
    python_job("refresh_interests", minutes=9, retries=0, inlets=[EVENTS, MODEL, ITEM_EMBEDDINGS], outlets=[INTERESTS])
