"""The things that Nearline's tasks read and write, as Airflow's asset graph shows them."""

from __future__ import annotations

from airflow.sdk import Asset


def _asset(name: str, where: str) -> Asset:
    return Asset(name=f"nearline/{name}", uri=f"nearline://{name}", group="nearline", extra={"where": where})


ITEMS = _asset("items", "table nearline_data.item")
EVENTS = _asset("events", "table nearline_data.event")
MODEL = _asset("model", "MLflow registered model nearline-interest")
ITEM_EMBEDDINGS = _asset("item_embeddings", "table nearline_data.item_embedding")
INTERESTS = _asset("interests", "table nearline_data.user_interest")
ARCHIVE = _asset("archive", "Parquet below NEARLINE_ARCHIVE")
