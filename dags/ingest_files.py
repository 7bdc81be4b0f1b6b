"""By hand: load files of items and of events."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from nearline_airflow.assets import EVENTS, ITEMS
from nearline_airflow.tasks import spark_job

DOC = """
### Files to items and events

Trigger it with the paths of items and of events: Parquet, CSV or JSON Lines, each a file or a folder of files.

| file | columns |
|---|---|
| items | item_id, kind, title; if you have them: description, language, attributes, image_uri, is_active |
| events | user_id, item_id, kind, occurred_at (with zone); if you have them: event_id, value, text, attributes |

* **The same file twice changes nothing.** Files are known by their content.
* **No row is lost silently**: each one rejected is in `nearline_data.rejected_row` with its reason.
* **A bad file stops**: when more than `NEARLINE_MAX_REJECTED_SHARE` of its rows are rejected, nothing of it is loaded.
"""

with DAG(
    dag_id="ingest_files",
    description="Load items and events from Parquet, CSV or JSON Lines",
    doc_md=DOC,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    default_args={"owner": "nearline"},
    tags=["nearline", "ingest"],
    params={
        "items": Param(
            "/data/items.parquet",
            type="string",
            minLength=1,
            title="Items",
            description="File or folder of items, as the Spark workers see it.",
        ),
        "events": Param(
            "/data/events.parquet",
            type="string",
            minLength=1,
            title="Events",
            description="File or folder of events, as the Spark workers see it.",
        ),
    },
):
    # In brackets, as params.items would be the method that every dictionary has.
    ingest_items = spark_job("ingest_items", "{{ params['items'] }}", hours=6, retries=1, outlets=[ITEMS])
    ingest_events = spark_job(
        "ingest_events", "{{ params['events'] }}", hours=6, retries=1, inlets=[ITEMS], outlets=[EVENTS]
    )
    ingest_items >> ingest_events
