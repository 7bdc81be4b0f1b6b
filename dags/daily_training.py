"""Once a day: learn from everything up to now, and publish the model if it is better than the live one."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param

from nearline_airflow.assets import ARCHIVE, EVENTS, INTERESTS, ITEM_EMBEDDINGS, ITEMS, MODEL
from nearline_airflow.tasks import RUN, python_job, spark_job

DOC = """
### Learn, judge, publish

| task | on | what it does |
|---|---|---|
| `take_snapshot` | Spark | items and events as of now to Parquet, with counts and a digest: the run's only input |
| `pair_items` | Spark | which items people take together, which search led where, what follows what |
| `finetune` | Spark | text model on those pairs, then behaviour model on each person's history |
| `judge` | Python | candidate against champion and untuned text model, on the newest events, which no one trained on |
| `register` | Python | the model, its metrics and data digests into MLflow |
| `embed_items` | Spark | a vector for each item, and what follows what up to now, into partitions of their own |
| `rebuild_interests` | Python | an interest vector for each person, with the new model |
| `publish` | Python | checks the index, then flips the live version and moves MLflow's alias with it |
| `archive_events` | Spark | events older than `NEARLINE_HOT_DAYS` from Postgres to Parquet |

**When `judge` is skipped** the candidate was not good enough; the last lines of its log and the page *Nearline* say by
how much. Everything up to `publish` is skipped then, the live model stays, and `archive_events` still runs. That is a
day like any other.

**When `take_snapshot` is skipped** there were no events to learn from.

**To begin without what the champion knows**, after an erasure or bad data, trigger it with *Start afresh*.

**When a task fails**, clear it: every job does the same again when it runs twice. The run's files are in
`NEARLINE_HOME/runs/<run id>`.

Starts at 02:00 UTC. A new installation waits for the next 02:00 and does not train at once; press *Trigger* to.
"""

with DAG(
    dag_id="daily_training",
    description="Fine-tune, judge and publish the interest model",
    doc_md=DOC,
    # No start date, and no run for a time before the first parse: `make up` alone must not start a training.
    schedule=CronTriggerTimetable("0 2 * * *", timezone="UTC", run_immediately=timedelta()),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=20),
    default_args={"owner": "nearline"},
    tags=["nearline", "training"],
    params={
        "afresh": Param(
            False,
            type="boolean",
            title="Start afresh",
            description="Train both models from the beginning, not from the champion: after an erasure, or bad data.",
        ),
    },
):
    take_snapshot = spark_job("take_snapshot", "--run", RUN, inlets=[ITEMS, EVENTS])
    pair_items = spark_job("pair_items", "--run", RUN)
    start = "{{ 'afresh' if params['afresh'] else 'champion' }}"
    finetune = spark_job("finetune", "--run", RUN, "--start", start, hours=12)
    # As long as finetune: the champion, too, may have all texts to read.
    judge = python_job("judge", "--run", RUN, minutes=720)
    register = python_job("register", "--run", RUN, outlets=[MODEL])
    embed_items = spark_job("embed_items", "--run", RUN, inlets=[MODEL, ITEMS], outlets=[ITEM_EMBEDDINGS])
    rebuild_interests = python_job(
        "rebuild_interests", "--run", RUN, minutes=240, inlets=[MODEL, EVENTS], outlets=[INTERESTS]
    )
    publish = python_job("publish", "--run", RUN, inlets=[ITEM_EMBEDDINGS, INTERESTS])
    archive_events = spark_job("archive_events", inlets=[EVENTS], outlets=[ARCHIVE], trigger_rule="none_failed")

    take_snapshot >> pair_items >> finetune >> judge >> register >> embed_items
    embed_items >> rebuild_interests >> publish >> archive_events
