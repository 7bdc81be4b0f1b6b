"""Count what people take together, one after another, and after a search, for the models to learn from.

python jobs/pair_items.py --run NAME
"""

from __future__ import annotations

import logging
import shutil

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nearline.adapters.snapshot import read_facts
from nearline.adapters.spark import session
from nearline.adapters.spark_pairs import first_meetings, item_pairs, query_pairs, transitions
from nearline.errors import run_job
from nearline.run_folder import RunFolder

log = logging.getLogger("nearline.pairs")


def main(argv: list[str] | None = None) -> int:
    """Write transitions to judge with from before the cut, what choices are made with from before the inner cut, and
    transitions to publish from all that people did.
    """
    run = RunFolder.from_arguments(__doc__, argv)
    settings = run.settings
    facts = read_facts(run.snapshot)
    spark = session(settings, "nearline pair_items")
    shutil.rmtree(run.pairs, ignore_errors=True)

    items = spark.read.parquet(str(run.snapshot / "items.parquet")).select("item_id")
    kinds = spark.createDataFrame(list(facts["kinds"].items()), "kind string, weight double")
    events = (
        spark.read.parquet(str(run.snapshot / "events.parquet"))
        .join(F.broadcast(kinds), "kind")
        .withColumn("at", F.unix_micros("occurred_at"))
    )
    # An event of an item that is not in the catalogue says nothing about those that are.
    known = events.join(items.withColumn("known", F.lit(True)), "item_id", "left").where("item_id is null or known")
    past = known.where(F.col("at") < int(facts["cut_time"] * 1e6))
    early = known.where(F.col("at") < int(facts["inner_cut_time"] * 1e6))
    counted = transitions(first_meetings(early)).cache()
    _write(run, "inner_transitions", counted)
    _write(run, "item_pairs", item_pairs(counted))
    _write(run, "query_pairs", query_pairs(early))
    for name, counting in {"transitions": past, "newest_transitions": known}.items():
        spark.catalog.clearCache()  # of the counts before
        _write(run, name, transitions(first_meetings(counting)))
    return 0


def _write(run: RunFolder, name: str, frame: DataFrame) -> None:
    path = str(run.pairs / f"{name}.parquet")
    frame.write.parquet(path)
    log.info("%s: %d", name.replace("_", " "), frame.sparkSession.read.parquet(path).count())


if __name__ == "__main__":
    run_job(main)
