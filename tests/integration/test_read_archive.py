"""What is archived is learnt from; an archive that cannot be read is said, and an empty one is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from nearline.adapters.spark import session
from nearline.adapters.spark_reader import read_archive
from nearline.errors import InputError
from nearline.settings import Settings


def test_only_an_archive_that_is_not_there_or_empty_is_none(tmp_path: Path) -> None:
    spark = session(Settings(home=tmp_path), "test archive")
    hot = spark.createDataFrame(
        [("e1", "u", "2026-11-01"), ("e2", "u", "2026-11-02")], "event_id string, user_id string, occurred_at string"
    )
    assert read_archive(spark, str(tmp_path / "none"), hot).count() == 2
    (tmp_path / "empty").mkdir()
    assert read_archive(spark, str(tmp_path / "empty"), hot).count() == 2
    old = spark.createDataFrame(
        [("e0", "u", "2020-01-01"), ("e1", "u", "2026-11-01")], "event_id string, user_id string, occurred_at string"
    )
    old.write.parquet(str(tmp_path / "archive"))
    events = read_archive(spark, str(tmp_path / "archive"), hot).collect()
    assert sorted(row.event_id for row in events) == ["e0", "e1", "e2"]
    old.drop("user_id").write.parquet(str(tmp_path / "other"))
    with pytest.raises(InputError, match=r"NEARLINE_ARCHIVE: .*other: .*user_id.* Fix: name the folder"):
        read_archive(spark, str(tmp_path / "other"), hot)
