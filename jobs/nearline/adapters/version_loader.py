"""Load a model version into its own tables: vectors of all active items, transitions, indexes. On Spark."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nearline.adapters.postgres import Connection, connect, queries
from nearline.adapters.spark import copy_to_postgres, session
from nearline.adapters.spark_reader import read_items
from nearline.adapters.version_tables import index_version, make_tables
from nearline.core.interest import TRENDS
from nearline.errors import ModelError
from nearline.models.model_folder import read_description
from nearline.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger("nearline.embed")

ITEMS_A_PARTITION = 2_000
NOTES = ("transition_weight", "fold_keep", "fold_gain", "fold_span")
"""What SQL needs of the model's notes."""


@dataclass(frozen=True)
class Source:
    """Where a version is loaded from; the paths are read by Spark's workers."""

    version: int
    mlflow_run_id: str
    #: How it was judged.
    metrics: Mapping[str, Any]
    #: The model folder, with its transitions.
    model: Path
    #: Text vectors that its own text model gave, see `nearline.models.kept_vectors`; may be missing.
    text_vectors: Path
    #: See `save_trends`.
    trends: Path


def save_trends(path: Path, item_ids: list[str], trends: np.ndarray) -> None:
    """Keep how items are doing, float32 (n, TRENDS), for the processes that load vectors; ids rising."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # As JSON: numpy's own text gives every id the room of the longest.
    np.savez(path, item_ids=np.frombuffer(json.dumps(item_ids).encode(), np.uint8), trends=trends)


def read_trends(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Ids, as objects, and trends that `save_trends` kept."""
    kept = np.load(path)
    return np.array(json.loads(kept["item_ids"].tobytes()), dtype=object), kept["trends"]


def save_served_trends(connection: Connection, path: Path) -> None:
    """The same of the live version: nothing newer is known until the next daily run."""
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(queries("publish")["served_trends"]).fetchall()
    trends = np.stack([row[1] for row in rows]) if rows else np.zeros((0, TRENDS), np.float32)
    save_trends(path, [row[0] for row in rows], trends)


def load_version(settings: Settings, connection: Connection, source: Source) -> None:
    """Fill the version's tables and index them; running it again empties and fills them anew.

    ``connection`` has taken the version (`take_version`) and commits each statement.

    Raises
    ------
    ModelError
        When the model cannot be read, or a version of this number came from another MLflow run. Nothing is changed.
    """
    publish, version = queries("publish"), {"model_version": source.version}
    notes = read_description(source.model)["notes"]
    about = {
        "mlflow_run_id": source.mlflow_run_id,
        "metrics": json.dumps(source.metrics),
        **{name: notes[name] for name in NOTES},
    }
    if connection.execute(publish["begin_version"], version | about).fetchone() is None:
        raise other_origin(source.version, source.mlflow_run_id)
    make_tables(connection, source.version)
    items = _load_items(settings, source)
    transitions = _load_transitions(settings, source)
    index_version(connection, source.version)
    log.info("version %d: %d item vectors, %d transitions", source.version, items, transitions)


def other_origin(version: int, run_id: str) -> ModelError:
    """The error for a version number that means another model in this database than in MLflow."""
    return ModelError(
        f"Version {version} in this database came from another MLflow run than {run_id}. "
        "Fix: use the MLflow server that this database was filled from, or another database."
    )


def _load_items(settings: Settings, source: Source) -> int:
    spark = session(settings, f"nearline version {source.version}")
    with connect(settings) as reader:
        reader.execute("set transaction isolation level repeatable read, read only")
        items = read_items(spark, settings, reader)
        # Each partition loads the model once: few of them, and no more than there are cores.
        parts = max(1, min(spark.sparkContext.defaultParallelism, round(items.count() / ITEMS_A_PARTITION)))
        counts = items.repartition(parts).mapInArrow(_loader(settings, source), "count long").collect()
    return sum(row["count"] for row in counts)


def _load_transitions(settings: Settings, source: Source) -> int:
    from pyspark.sql import functions as F

    spark = session(settings, f"nearline version {source.version}")
    # The reading was chosen and judged as of the cut; what is counted goes on to the newest event. Without that an item
    # that came after the cut would follow nothing until a tenth of all events is younger than it.
    newest, judged = source.model / "newest_transitions.parquet", source.model / "transitions.parquet"
    transitions = spark.read.parquet(str(newest if newest.exists() else judged))
    return copy_to_postgres(
        transitions.withColumn("model_version", F.lit(source.version)).coalesce(4),
        settings,
        "nearline_data.item_transition",
        {"model_version": "int4", "item_id": "text", "next_item_id": "text", "weight": "float4"},
    )


def _loader(settings: Settings, source: Source) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Encode a partition's items and COPY them in one transaction; yields how many."""

    def load(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow

        from nearline.adapters.postgres import connect
        from nearline.adapters.snapshot import texts_of
        from nearline.adapters.version_tables import write_items
        from nearline.core.trends import trends_by_name
        from nearline.models.interest_model import InterestModel
        from nearline.models.kept_vectors import kept_vectors

        # One thread for each partition: Spark runs as many of them as there are cores.
        model = InterestModel.load(source.model, threads=1)
        known, trends = read_trends(source.trends)
        count = 0
        with connect(settings) as connection:
            for batch in batches:
                ids, kinds = batch.column("item_id").to_pylist(), batch.column("kind").to_pylist()
                texts = kept_vectors(texts_of(batch), model.text_vectors, source.text_vectors, keep=False)
                vectors = model.place_items(ids, texts, trends_by_name(ids, known, trends))
                count += write_items(connection, source.version, ids, kinds, vectors)
        yield pyarrow.RecordBatch.from_pydict({"count": [count]})

    return load
