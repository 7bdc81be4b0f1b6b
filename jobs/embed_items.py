"""Encode the catalogue with the candidate of a daily run and load vectors and transitions into Postgres.

python jobs/embed_items.py --run 2026-11-21
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from nearline.adapters import postgres
from nearline.adapters.snapshot import read_snapshot
from nearline.adapters.spark import copy_to_postgres, session
from nearline.adapters.spark_reader import read_items
from nearline.adapters.version_tables import make_tables
from nearline.core.trends import trends_of
from nearline.errors import ModelError, run_job
from nearline.run_folder import RunFolder
from nearline.settings import Settings

log = logging.getLogger("nearline.embed")

Load = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]
ITEMS_A_PARTITION = 2_000


def main(argv: list[str] | None = None) -> int:
    """Fill the version's own partitions and index them; running it again empties and fills them anew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="name of the daily run")
    arguments = parser.parse_args(argv)
    settings = Settings.from_env()
    run = RunFolder(settings, arguments.run)
    registered, judgement = json.loads(run.registered.read_text()), json.loads(run.judgement.read_text())
    version = {"model_version": run.version}
    notes = json.loads((run.model / "model.json").read_text())["notes"]
    publish = postgres.queries("publish")
    with postgres.connect(settings, autocommit=True) as connection:
        about = {
            "mlflow_run_id": registered["run_id"],
            **{name: notes[name] for name in ("transition_weight", "fold_keep", "fold_gain", "fold_span")},
            "metrics": json.dumps(judgement["metrics"]),
        }
        if connection.execute(publish["begin_version"], version | about).fetchone() is None:
            raise ModelError(
                f"Version {run.version} in this database came from another MLflow run than {registered['run_id']}. "
                "Fix: use the MLflow server that this database was filled from, or another database."
            )
        make_tables(connection, run.version)
    spark = session(settings, "nearline embed_items")
    with postgres.connect(settings) as connection:
        connection.execute("set transaction isolation level repeatable read, read only")
        items = read_items(spark, settings, connection)
        # Each partition loads the model once: few of them, and no more than there are cores.
        parts = max(1, min(spark.sparkContext.defaultParallelism, round(items.count() / ITEMS_A_PARTITION)))
        load = loader(settings, run.name, run.version, save_trends(run))
        count = sum(row["count"] for row in items.repartition(parts).mapInArrow(load, "count long").collect())
    transitions = spark.read.parquet(str(run.model / "transitions.parquet"))
    pairs = copy_to_postgres(
        transitions.withColumn("model_version", F.lit(run.version)).coalesce(4),
        settings,
        "nearline_data.item_transition",
        {"model_version": "int4", "item_id": "text", "next_item_id": "text", "weight": "float4"},
    )
    with postgres.connect(settings) as connection:
        connection.execute(publish["index_version"], version)
    log.info("version %d: %d item vectors, %d transitions", run.version, count, pairs)
    return 0


def save_trends(run: RunFolder) -> str:
    """How items do at the newest event of the snapshot, for the processes that load vectors; returns the file."""
    snapshot = read_snapshot(run.snapshot)
    trends = trends_of(snapshot.ledger, float(snapshot.ledger.time.max(initial=0.0)) + 1.0)
    path = run.path / "trends.npz"
    np.savez(path, item_ids=np.array(snapshot.item_ids), trends=trends)
    return str(path)


def loader(settings: Settings, name: str, version: int, trends_file: str) -> Load:
    """Encode a partition's items and COPY them in one transaction; yields how many."""

    def load(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import numpy as np
        import pyarrow

        from nearline.adapters.postgres import connect, copy_rows
        from nearline.adapters.snapshot import texts_of
        from nearline.core.trends import unmet
        from nearline.daily_training import text_vectors_folder
        from nearline.models.interest_model import InterestModel
        from nearline.models.kept_vectors import kept_vectors
        from nearline.run_folder import RunFolder

        run = RunFolder(settings, name)
        table, columns = "item_embedding", ["model_version", "item_id", "kind", "vector"]
        # One thread for each partition: Spark runs as many of them as there are cores.
        model = InterestModel.load(run.model, threads=1)
        kept = np.load(trends_file)
        known, trends = kept["item_ids"], kept["trends"]  # sorted by id; an item newer than the snapshot has none
        count = 0
        with connect(settings) as connection:
            for batch in batches:
                ids, kinds = batch.column("item_id").to_pylist(), batch.column("kind").to_pylist()
                texts = kept_vectors(texts_of(batch), model.text_vectors, text_vectors_folder(run), keep=False)
                place = np.minimum(np.searchsorted(known, ids), len(known) - 1)
                here = np.where((known[place] == ids)[:, None], trends[place], unmet())
                vectors = model.place_items(ids, texts, here)
                rows = zip([version] * len(ids), ids, kinds, vectors, strict=True)
                count += copy_rows(connection, table, columns, ["int4", "text", "text", "vector"], rows)
        yield pyarrow.RecordBatch.from_pydict({"count": [count]})

    return load


if __name__ == "__main__":
    run_job(main)
