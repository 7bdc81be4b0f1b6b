"""Every minute: turn the newest events into interest vectors."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, AsyncCallback, DeadlineAlert, DeadlineReference

from nearline_airflow.alerts import say_how_far_behind
from nearline_airflow.assets import EVENTS, INTERESTS, ITEM_EMBEDDINGS, MODEL
from nearline_airflow.environment import shards, time_for_a_run
from nearline_airflow.tasks import python_job_a_shard

DOC = """
### New events become interest vectors

One task that drains: it reads what was committed since its cursor, computes the vectors of the people concerned, writes
them together with the cursor, and goes on like that until the next run, which loads its model in the meantime, takes
over. Postgres wakes it when an event is committed (`NOTIFY`). So Airflow's cost is paid once a minute, and an event is
in its vector within a second.

* The position is a **cursor in Postgres**, never Airflow's data interval: a late, repeated or overlapping run changes
  nothing, and after an hour's pause the next run catches up.
* A vector is a pure function of the event ledger. Running twice gives the same vectors.
* **Retries are off**: the next minute is the retry.
* Asked to end (`SIGTERM`, as by *Mark as failed*, a time-out or a shutdown), the task writes the batch it is at and
  stops; the next run goes on from there. A restart of Postgres is waited for.
* **More people than one process can serve?** `NEARLINE_SHARDS=4`, for the DAG processor, makes it four mapped tasks,
  each with its shard of the people and a cursor of its own.
* Before the first model is live it says so and ends well.

**It is behind?** A run does not end before nothing is unread. One that has not ended well after its start, the wait
for the run before it, `NEARLINE_DRAIN_SECONDS` and `NEARLINE_LAG_BUDGET` misses its deadline: Airflow's triggerer then
writes backlog and lag of each shard to its log, and posts them to the connection `nearline_alerts` (type HTTP, a
webhook that takes `{"text": ...}`) if there is one.

How far behind is it? `select * from nearline.freshness;` or *Nearline* in the menu; for Prometheus `/nearline/metrics`.

Compute vectors anew, beside everything that runs:

    python jobs/refresh_interests.py --users a,b
    python jobs/refresh_interests.py --since 2026-11-01
    python jobs/refresh_interests.py --rebuild
"""

SHARDS = shards()

with DAG(
    dag_id="nearline_interests",
    description="Newest events to interest vectors, drained all the time",
    doc_md=DOC,
    schedule=timedelta(minutes=1),
    catchup=False,
    # One drains until the next, which loads its model meanwhile, takes over: there is no gap between the two.
    max_active_runs=2,
    max_active_tasks=SHARDS,  # of one run: a shard that waits for another is behind from the start
    dagrun_timeout=timedelta(minutes=10),
    deadline=DeadlineAlert(
        name="nearline_lag",
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=time_for_a_run(),
        callback=AsyncCallback(say_how_far_behind),
    ),
    default_args={"owner": "nearline"},
    tags=["nearline", "serving"],
):
    python_job_a_shard(
        "refresh_interests",
        SHARDS,
        minutes=9,
        retries=0,
        # Where tasks wait for a slot, this one goes first: people wait for it.
        priority_weight=1000,
        inlets=[EVENTS, MODEL, ITEM_EMBEDDINGS],
        outlets=[INTERESTS],
    )
