"""Count pairs in Spark. `transitions` is the twin of `nearline.core.transitions.transition_table`: a test compares.

Events have the columns event_id, user_id, item_id, kind, text, weight and ``at``, microseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nearline.core.transitions import FADINGS, SHRINKAGE, SUCCESSORS, WINDOW

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

SENT_ITEMS = 500_000
"""Of so many items the totals are sent to each executor: about 100 MB, of a memory of 1 GB by default."""
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

    counts = _counts(met).cache()  # read twice
    totals = counts.groupBy("item_id").agg(
        *(F.sum(f"c_{place}").alias(f"out_{place}") for place in range(len(FADINGS))),
        *(F.sum(f"s_{place}").alias(f"n_{place}") for place in range(len(FADINGS))),
    )
    totals = totals.cache()  # read twice
    of_next = totals.selectExpr(
        "item_id as next_item_id", *(f"n_{place} as next_n_{place}" for place in range(len(FADINGS)))
    )
    if totals.count() <= SENT_ITEMS:
        of_next = F.broadcast(of_next)  # else the counts, which are many more rows, would be moved to it and back
    best = Window.partitionBy("item_id", "fading", "near").orderBy(F.desc("weight"), "next_item_id")
    kept = (
        counts.join(of_next, "next_item_id")
        .join(totals, "item_id")
        .select("item_id", "next_item_id", F.explode(F.array(*_readings())).alias("reading"))
        .select("item_id", "next_item_id", "reading.*")
        .where("weight > 0")
        .withColumn("place", F.row_number().over(best))
        .where(F.col("place") <= SUCCESSORS)
        .cache()  # read twice
    )
    largest = kept.groupBy("fading", "near").agg(F.max("weight").alias("largest"))
    return (
        kept.join(F.broadcast(largest), ["fading", "near"])
        .withColumn("weight", (F.col("weight") / F.col("largest")).cast("float"))
        .select("fading", "near", "item_id", "next_item_id", "weight")
        .where("weight > 0")
    )


def _counts(met: DataFrame) -> DataFrame:
    """Columns item_id, next_item_id, and c_0, s_0, ... for each fading: c(i, j) and s(i, j), where there is either."""
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
    # Of two at the same moment none is first: they count in both directions, and twice in the sum of both.
    tied = F.when(F.col("at") == F.col("next_at"), F.col("count")).otherwise(0.0)
    both = F.col("count") + tied
    directions = F.array(
        F.struct("item_id", "next_item_id", F.col("count").alias("c"), both.alias("s")),
        F.struct(
            F.col("next_item_id").alias("item_id"),
            F.col("item_id").alias("next_item_id"),
            tied.alias("c"),
            both.alias("s"),
        ),
    )
    age = (F.lit(last or 0) - F.col("next_at")) / span
    return (
        met.withColumn("next", F.array(*later))
        .select("item_id", "at", F.explode("next").alias("next"))
        .select("item_id", "at", "next.*")
        .where("next_item_id is not null")
        .select(F.explode(directions).alias("pair"), age.alias("age"))
        .select("pair.*", "age")
        # Once, by item: so they are also summed, joined with the totals and ranked without being moved again.
        .repartition("item_id")
        .groupBy("item_id", "next_item_id")
        .agg(
            *(
                F.sum(F.col(name) * F.pow(F.lit(0.5), F.col("age") * fading)).alias(f"{name}_{place}")
                for place, fading in enumerate(FADINGS)
                for name in ("c", "s")
            )
        )
    )


def _readings() -> Iterator[Column]:
    """Structs of fading, near and weight, from columns of `_counts` and how much there is of both items."""
    from pyspark.sql import functions as F

    for place, fading in enumerate(FADINGS):
        following = F.try_divide(F.col(f"c_{place}"), F.sqrt(f"out_{place}"))
        shrunk = (F.col(f"n_{place}") + SHRINKAGE) * (F.col(f"next_n_{place}") + SHRINKAGE)
        for near, weight in ((False, following), (True, F.col(f"s_{place}") / F.sqrt(shrunk))):
            yield F.struct(F.lit(fading).alias("fading"), F.lit(near).alias("near"), weight.alias("weight"))


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
