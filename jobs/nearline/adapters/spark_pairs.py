"""Count pairs in Spark. `transitions` is the twin of `nearline.core.transitions.transition_table`: a test compares.

Events have the columns event_id, user_id, item_id, kind, text, weight and ``at``, microseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from nearline.core.transitions import FADINGS, SHRINKAGE, SUCCESSORS, WINDOW

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

SEARCH_EVENTS = 5
SEARCH_MICROSECONDS = 10 * 60 * 1_000_000
"""An item taken within so many events and ten minutes after a search was found by it."""
PAIRS_AN_ITEM = 20
"""For the text model; popular items would otherwise fill every batch."""


def first_meetings(events: DataFrame) -> DataFrame:
    """Each person's first event with each item, if it speaks for the item."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    # Ties as in nearline.core.split.first_interactions: a positive event before another of the same moment.
    order = Window.partitionBy("user_id", "item_id").orderBy("at", F.col("weight") <= 0, "event_id")
    met = events.where("item_id is not null").withColumn("place", F.row_number().over(order))
    return met.where("place = 1 and weight > 0").drop("place")


def transitions(met: DataFrame) -> DataFrame:
    """Columns fading, near, item_id, next_item_id, weight: `nearline.core.transitions`, for each of its readings."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    first, last = met.agg(F.min("at"), F.max("at")).first() or (None, None)
    span = max((last or 0) - (first or 0), 1_000_000)
    line = Window.partitionBy("user_id").orderBy("at", "event_id")
    later = [
        F.struct(
            F.lead("item_id", distance).over(line).alias("next_item_id"),
            F.lead("at", distance).over(line).alias("next_at"),
            F.lit(distance**-0.5).alias("count"),
        )
        for distance in range(1, WINDOW + 1)
    ]
    pairs = (
        met.withColumn("next", F.array(*later))
        .select("item_id", "at", F.explode("next").alias("next"))
        .select("item_id", "at", "next.*")
        .where("next_item_id is not null")
    )
    # Of two at the same moment none is first: they count in both directions.
    tied = pairs.where("at = next_at").selectExpr(
        "next_item_id as item_id", "item_id as next_item_id", "next_at", "count"
    )
    age = (F.lit(last or 0) - F.col("next_at")) / span
    # A column for each fading, and rows for each only at the end: what is shuffled and sorted is a third.
    columns = {fading: f"count_{number}" for number, fading in enumerate(FADINGS)}
    counts = (
        pairs.select("item_id", "next_item_id", "next_at", "count")
        .unionByName(tied)
        .groupBy("item_id", "next_item_id")
        .agg(*(F.sum(F.col("count") * F.pow(F.lit(0.5), age * fading)).alias(name) for fading, name in columns.items()))
        .cache()  # read three times
    )
    back = counts.selectExpr("next_item_id as item_id", "item_id as next_item_id", *columns.values())
    both = (
        counts.unionByName(back)
        .groupBy("item_id", "next_item_id")
        .agg(*(F.sum(name).alias(name) for name in columns.values()))
        .cache()  # read three times
    )
    following = counts.join(_totals(counts, columns.values(), "item_id"), "item_id").select(
        "item_id", "next_item_id", _readings(columns, False, lambda name: F.col(f"item_id_{name}"))
    )
    near = (
        both.join(_totals(both, columns.values(), "item_id"), "item_id")
        .join(_totals(both, columns.values(), "next_item_id"), "next_item_id")
        .select(
            "item_id",
            "next_item_id",
            _readings(
                columns,
                True,
                lambda name: (F.col(f"item_id_{name}") + SHRINKAGE) * (F.col(f"next_item_id_{name}") + SHRINKAGE),
            ),
        )
    )
    best = Window.partitionBy("item_id", "fading", "near").orderBy(F.desc("weight"), "next_item_id")
    kept = (
        following.unionByName(near)
        .select("item_id", "next_item_id", "reading.*")
        .withColumn("place", F.row_number().over(best))
        .where(F.col("place") <= SUCCESSORS)
    )
    kept = kept.cache()  # read twice
    largest = kept.groupBy("fading", "near").agg(F.max("weight").alias("largest"))
    return (
        kept.join(F.broadcast(largest), ["fading", "near"])
        .withColumn("weight", (F.col("weight") / F.col("largest")).cast("float"))
        .select("fading", "near", "item_id", "next_item_id", "weight")
        .where("weight > 0")
    )


def _totals(counts: DataFrame, columns: Iterable[str], side: str) -> DataFrame:
    """The sum of each column for each item of a side, as ``side_column``."""
    from pyspark.sql import functions as F

    return counts.groupBy(side).agg(*(F.sum(name).alias(f"{side}_{name}") for name in columns))


def _readings(columns: Mapping[float, str], near: bool, popular: Callable[[str], Column]) -> Column:
    """Rows of fading, near and weight: the column of each fading over the root of how popular the items are by it."""
    from pyspark.sql import functions as F

    return F.explode(
        F.array(
            *(
                F.struct(
                    F.lit(fading).alias("fading"),
                    F.lit(near).alias("near"),
                    (F.col(name) / F.sqrt(popular(name))).alias("weight"),
                )
                for fading, name in columns.items()
            )
        )
    ).alias("reading")


def item_pairs(counted: DataFrame) -> DataFrame:
    """Columns left_id, right_id, weight: each item with its heaviest successors of all time, all items alike."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    best = Window.partitionBy("item_id").orderBy(F.desc("weight"), "next_item_id")
    total = F.sum("weight").over(Window.partitionBy("item_id"))
    return (
        counted.where("fading = 0 and not near")
        .withColumn("place", F.row_number().over(best))
        .where(F.col("place") <= PAIRS_AN_ITEM)
        .select(
            F.col("item_id").alias("left_id"),
            F.col("next_item_id").alias("right_id"),
            (F.col("weight") / total).cast("double").alias("weight"),
        )
    )


def query_pairs(events: DataFrame) -> DataFrame:
    """Columns query, item_id, weight: how many events took the item soon after the search."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    line = Window.partitionBy("user_id").orderBy("at", "event_id")
    later = [
        F.struct(
            F.lead("item_id", distance).over(line).alias("item_id"),
            F.lead("at", distance).over(line).alias("next_at"),
            F.lead("weight", distance).over(line).alias("next_weight"),
        )
        for distance in range(1, SEARCH_EVENTS + 1)
    ]
    return (
        events.withColumn("next", F.array(*later))
        .where("item_id is null and trim(text) <> ''")
        .select(F.substring("text", 1, 500).alias("query"), "at", F.explode("next").alias("next"))
        .select("query", "at", "next.*")
        .where("item_id is not null and next_weight > 0")
        .where(F.col("next_at") - F.col("at") <= SEARCH_MICROSECONDS)
        .groupBy("query", "item_id")
        .agg(F.count("*").cast("double").alias("weight"))
    )
