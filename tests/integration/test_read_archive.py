"""What is archived is learnt from; an archive that cannot be read, or is not there any more, is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from nearline.adapters.postgres import Connection
from nearline.adapters.spark import session
from nearline.adapters.spark_reader import find_archive, with_archive
from nearline.errors import InputError
from nearline.settings import Settings


def test_only_an_archive_that_was_never_there_is_none(tmp_path: Path, connection: Connection) -> None:
    spark = session(Settings(home=tmp_path), "test archive")
    hot = spark.createDataFrame(
        [("e1", "u", "2026-11-01"), ("e2", "u", "2026-11-02")], "event_id string, user_id string, occurred_at string"
    )

    def found(name: str) -> list[str]:
        archived = find_archive(spark, str(tmp_path / name), connection, hot.columns)
        return sorted(row.event_id for row in with_archive(hot, archived).collect())

    (tmp_path / "empty").mkdir()
    assert found("none") == found("empty") == ["e1", "e2"]
    old = spark.createDataFrame(
        [("e0", "u", "2020-01-01"), ("e1", "u", "2026-11-01")], "event_id string, user_id string, occurred_at string"
    )
    old.write.parquet(str(tmp_path / "archive"))
    assert found("archive") == ["e0", "e1", "e2"]
    old.drop("user_id").write.parquet(str(tmp_path / "other"))
    with pytest.raises(InputError, match=r"NEARLINE_ARCHIVE: .*other: .*user_id.* Fix: name the folder"):
        found("other")
    connection.execute("insert into nearline_data.archived_partition values ('event_2020', 2)")
    assert found("archive") == ["e0", "e1", "e2"]
    for name in ("none", "empty"):  # not mounted, say
        with pytest.raises(InputError, match=f"moved to it, saw nothing at .*{name}. Fix: mount it"):
            found(name)
