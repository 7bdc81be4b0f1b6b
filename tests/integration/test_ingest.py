"""Loads with real files, Spark and Postgres: what is right goes in once, what is wrong is told and kept out."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ingest_events
import ingest_items
from nearline.adapters.ingest import ingest
from nearline.adapters.input_files import EVENT, ITEM, find_files
from nearline.adapters.postgres import Connection
from nearline.errors import DatabaseError, InputError
from nearline.settings import Settings

ITEMS = [
    {"item_id": "page-1", "kind": "page", "title": "Tea <b>for</b>\ntwo", "attributes": '{"price": 3}'},
    {"item_id": "film-2", "kind": "film", "title": 'The "Tea", a film', "attributes": None},
]
EVENTS = [
    {"user_id": "ada", "item_id": "page-1", "kind": "view", "text": None, "occurred_at": "2026-03-01T10:00:00Z"},
    {
        "user_id": "ada",
        "item_id": None,
        "kind": "search",
        "text": "tea, 茶",
        "occurred_at": "2026-03-01T12:00:00+01:00",
    },
    {"user_id": "ben", "item_id": "film-2", "kind": "like", "text": None, "occurred_at": "2026-03-01T10:00:00.5Z"},
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def count(connection: Connection, table: str) -> int:
    row = connection.execute(f"select count(*) from nearline_data.{table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def reasons(connection: Connection) -> Counter[str]:
    return Counter(reason for (reason,) in connection.execute("select reason from nearline_data.rejected_row"))


def nothing_left(connection: Connection) -> bool:
    staging = connection.execute("select count(*) from pg_tables where tablename like 'staging%'").fetchone()
    return staging == (0,) and not any(count(connection, table) for table in ("item", "event", "ingest_file"))


@pytest.fixture
def catalogue(spark: object, settings: Settings, tmp_path: Path) -> Settings:
    """Settings of a database that has ITEMS."""
    ingest(settings, ITEM, write(tmp_path / "items.jsonl", ITEMS))
    return settings


def test_a_catalogue_may_go_back_to_what_it_was(catalogue: Settings, connection: Connection, tmp_path: Path) -> None:
    offered = "select is_active from nearline_data.item where item_id = %s"
    item = ITEMS[0]["item_id"]
    monday = write(tmp_path / "monday.csv", [ITEMS[0] | {"is_active": "true"}])
    tuesday = write(tmp_path / "tuesday.csv", [ITEMS[0] | {"is_active": "false"}])
    for file, is_active in ((monday, True), (tuesday, False), (monday, True), (tuesday, False)):
        summary = ingest(catalogue, ITEM, file)
        assert summary.files_loaded_before == 0
        assert connection.execute(offered, (item,)).fetchone() == (is_active,)
    assert ingest(catalogue, ITEM, tuesday).files_loaded_before == 1, "nothing came after it"


def test_a_folder_that_grows_by_a_file_stays_what_it_says(
    catalogue: Settings, connection: Connection, tmp_path: Path
) -> None:
    """What was passed over beside the new file was read again the next day, and so on, to and fro."""
    folder = tmp_path / "daily"
    folder.mkdir()
    write(folder / "1.csv", [ITEMS[0] | {"title": "first"}])
    assert ingest(catalogue, ITEM, folder).loaded == 1
    write(folder / "2.csv", [ITEMS[0] | {"title": "second"}])
    assert [ingest(catalogue, ITEM, folder).loaded for _ in range(4)] == [1, 0, 0, 0]
    asked = "select title from nearline_data.item where item_id = %s"
    assert connection.execute(asked, (ITEMS[0]["item_id"],)).fetchone() == ("second",)


def said_to_somebody_else(path: Path) -> str:
    """What the search for files says to a user who owns nothing, in a process of theirs."""
    read, write_to = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setuid(50_000)
            find_files(path, ITEM)
        except BaseException as problem:
            os.write(write_to, f"{type(problem).__name__}: {problem}".encode())
        os._exit(0)
    os.close(write_to)
    with open(read) as said:
        text = said.read()
    os.waitpid(child, 0)
    return text


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody who may not read")
def test_what_may_not_be_read_is_said() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "items.jsonl", ITEMS)
        no = "the user 50000, as whom this runs, may not read it. Fix: chmod -R a+rX"
        for place, mode, said in (
            (folder, 0o700, f"{folder}: {no} {folder}"),
            (folder / "items.jsonl", 0o700, "cannot reach it. Fix: correct the path."),
            (folder, 0o755, f"{folder}/items.jsonl: {no} {folder}"),
            (folder / "items.jsonl", 0o755, f"{folder}/items.jsonl: {no} {folder}"),
        ):
            folder.chmod(mode)
            (folder / "items.jsonl").chmod(0o600)
            found = said_to_somebody_else(place)
            assert found.startswith("InputError: ")
            assert said in found
        (folder / "items.jsonl").chmod(0o644)
        assert said_to_somebody_else(folder) == ""


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_each_format_gives_the_same_rows_once(
    settings: Settings, connection: Connection, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "somewhere" / ".." / "my data"
    (tmp_path / "somewhere").mkdir()
    write(folder / f"items.{suffix}", ITEMS)
    write(folder / f"events.{suffix}", EVENTS)
    assert ingest_items.main([str(folder)]) == 0
    assert ingest_events.main([str(folder)]) == 0
    assert "loaded 3 new" in capsys.readouterr().out
    assert connection.execute("select item_id, title, attributes from nearline_data.item order by 1").fetchall() == [
        ("film-2", 'The "Tea", a film', {}),
        ("page-1", "Tea for two", {"price": 3}),
    ]
    found = connection.execute(
        "select user_id, item_id, kind, text, occurred_at from nearline_data.event order by occurred_at"
    ).fetchall()
    assert found[0][:4] == ("ada", "page-1", "view", None)
    assert found[1] == ("ben", "film-2", "like", None, datetime(2026, 3, 1, 10, 0, 0, 500_000, UTC))
    assert found[2] == ("ada", None, "search", "tea, 茶", datetime(2026, 3, 1, 11, tzinfo=UTC))

    again = ingest(settings, EVENT, folder)
    assert (again.read, again.files_loaded_before) == (0, 1)
    assert count(connection, "event") == 3


def test_what_is_there_already_changes_nothing_and_what_changed_is_updated(
    catalogue: Settings, connection: Connection, tmp_path: Path
) -> None:
    old = connection.execute("select item_id, updated_at from nearline_data.item order by 1").fetchall()
    changed = [ITEMS[0], ITEMS[1] | {"title": "Coffee, a film"}]
    summary = ingest(catalogue, ITEM, write(tmp_path / "more.csv", changed))
    assert (summary.loaded, summary.unchanged) == (1, 1)
    new = connection.execute("select item_id, updated_at from nearline_data.item order by 1").fetchall()
    assert new[1] == old[1]
    assert new[0][1] > old[0][1]

    twice = ingest(catalogue, EVENT, write(tmp_path / "a.csv", EVENTS * 2))
    assert (twice.loaded, twice.duplicates, twice.rejected) == (3, 3, {})
    more = ingest(catalogue, EVENT, write(tmp_path / "b.jsonl", EVENTS))
    assert (more.loaded, more.unchanged) == (0, 3)
    assert count(connection, "rejected_row") == 0


@pytest.mark.usefixtures("spark")
def test_bad_items_are_kept_with_their_reason(settings: Settings, connection: Connection, tmp_path: Path) -> None:
    good = {"item_id": "a", "kind": "page", "title": "Tea", "attributes": "{}"}
    rows = [
        good,
        good,
        good | {"title": "Another tea"},
        good | {"item_id": None},
        good | {"item_id": "b", "title": "<p> </p>"},
        good | {"item_id": "c", "title": "x" * 1_000_000},
        good | {"item_id": "d", "attributes": "[1]"},
        good | {"item_id": "e", "attributes": "{"},
    ]
    path = write(tmp_path / "items.csv", rows)
    with path.open("ab") as file:
        file.write(b"f,page,caf\xe9,{}\r\n")
    broken = tmp_path / "more.parquet"
    table = pa.table({"item_id": ["g"], "kind": ["page"], "title": pa.array([b"caf\xe9"]).view(pa.string())})
    pq.write_table(table, broken)
    summary = ingest(replace(settings, max_rejected_share=1.0), ITEM, tmp_path / "items.csv")
    assert (summary.loaded, summary.duplicates) == (1, 1)
    assert summary.rejected == {
        "item_id seen twice with different content": 1,
        "item_id is missing": 1,
        "title is missing": 1,
        "title has more than 10,000 characters": 1,
        "attributes is not a JSON object": 1,
        "attributes is not valid JSON": 1,
        "title is not valid UTF-8": 1,
    }
    assert reasons(connection) == Counter(summary.rejected)
    assert connection.execute("select title from nearline_data.item").fetchall() == [("Tea",)]
    sizes = connection.execute("select max(length(content::text)) from nearline_data.rejected_row").fetchone()
    assert sizes is not None
    assert sizes[0] < 2000
    assert ingest(replace(settings, max_rejected_share=1.0), ITEM, broken).rejected == {"title is not valid UTF-8": 1}


def test_bad_events_are_kept_with_their_reason(catalogue: Settings, connection: Connection, tmp_path: Path) -> None:
    good = EVENTS[0] | {"value": "1"}
    rows = [
        good,
        good | {"item_id": "unknown"},
        good | {"kind": "sniff"},
        good | {"occurred_at": "2999-01-01T00:00:00Z"},
        good | {"occurred_at": "2026-03-01T10:00:00"},
        good | {"occurred_at": "yesterday"},
        good | {"user_id": None},
        good | {"item_id": None},
        good | {"kind": "search"},
        good | {"value": "NaN"},
    ]
    path = write(tmp_path / "events.jsonl", rows)
    with path.open("a") as file:
        file.write('{"user_id": "ad\n')
    summary = ingest(replace(catalogue, max_rejected_share=1.0), EVENT, path)
    assert summary.loaded == 1
    assert summary.rejected == {
        "item_id is not in the catalogue": 1,
        "kind 'sniff' is unknown": 1,
        "occurred_at is in the future": 1,
        "occurred_at has no time zone": 1,
        "occurred_at is not an ISO 8601 time such as 2026-03-01T12:00:00Z": 1,
        "user_id is missing": 1,
        "item_id is missing": 1,
        "a search needs text": 1,
        "value is not a finite number": 1,
        "the row is not of the file's format": 1,
    }
    kept = connection.execute(
        "select subject, source, content from nearline_data.rejected_row where reason like '%%catalogue'"
    ).fetchone()
    assert kept is not None
    assert kept[0] == "event"
    assert str(path) in kept[1]
    assert kept[2]["item_id"] == "unknown"


@pytest.mark.usefixtures("spark")
def test_too_many_rejected_rows_load_nothing(settings: Settings, connection: Connection, tmp_path: Path) -> None:
    path = write(tmp_path / "items.csv", [*ITEMS, ITEMS[0] | {"item_id": ""}])
    for _ in range(2):  # trying again does not keep the same rows twice
        with pytest.raises(InputError, match=r"1 of 3 rows are rejected.*0\.05.*item_id is missing.*Fix:"):
            ingest(settings, ITEM, path)
        assert nothing_left(connection)
        assert reasons(connection) == {"item_id is missing": 1}


def test_a_failure_while_merging_leaves_nothing_half_written(
    catalogue: Settings, connection: Connection, tmp_path: Path
) -> None:
    with psycopg.connect(str(catalogue.dsn), autocommit=True) as owner:
        owner.execute("alter table nearline_data.event add check (user_id <> 'ben')")
    with pytest.raises(psycopg.errors.CheckViolation):
        ingest(catalogue, EVENT, write(tmp_path / "events.csv", EVENTS))
    assert count(connection, "event") == 0
    assert count(connection, "ingest_file") == 1
    assert connection.execute("select from pg_tables where tablename like 'staging%'").fetchall() == []


def test_zero_events_load_nothing_and_say_so(catalogue: Settings, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("user_id,item_id,kind,occurred_at\n")
    assert str(ingest(catalogue, EVENT, path)).startswith("read 0 rows of 1 files")


def parquet_bytes(**columns: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return bytes(sink.getvalue())


EVENT_COLUMNS = {
    "user_id": ["u"] * 99,
    "item_id": ["i"] * 99,
    "kind": ["view"] * 99,
    "occurred_at": ["2026-03-01"] * 99,
}
WHOLE = parquet_bytes(**EVENT_COLUMNS)
LISTS = parquet_bytes(**EVENT_COLUMNS | {"kind": [["view"]] * 99})
NUMBERS = parquet_bytes(**EVENT_COLUMNS | {"occurred_at": [7] * 99})
NAIVE = parquet_bytes(**EVENT_COLUMNS | {"occurred_at": pa.array([datetime(2026, 3, 1)] * 99, pa.timestamp("us"))})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("e.csv", b"user_id,kind,occurred_at\nu,view,2026\n", "item_id missing, saw user_id, kind, occurred_at"),
        (
            "e.csv",
            b"user_id;item_id;kind;occurred_at\nu;i;view;2026\n",
            "';' separates its columns. Fix: write it with",
        ),
        ("e.csv", b"user_id,user_id,item_id,kind,occurred_at\n", "user_id more than once"),
        ("e.csv", b"", "the file is empty"),
        ("e.jsonl", b"[1, 2]\n", "expected JSON Lines"),
        ("e.parquet", WHOLE[: len(WHOLE) // 2], "not a whole Parquet file"),
        ("e.parquet", LISTS, "expected text in the column kind, saw the type list"),
        ("e.parquet", NUMBERS, "expected a time with its zone in the column occurred_at, saw the type int64"),
        ("e.parquet", NAIVE, "expected a time with its zone in the column occurred_at, saw the type timestamp[us]"),
        ("e.txt", b"?", "expected a name that ends in"),
    ],
)
def test_a_file_that_cannot_be_meant_is_a_clear_message(
    settings: Settings, connection: Connection, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        ingest(settings, EVENT, tmp_path / name)
    assert str(tmp_path / name) in str(error.value)
    assert message in str(error.value)
    assert nothing_left(connection)


def test_a_folder_without_data_is_a_clear_message(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected items in files"):
        ingest(settings, ITEM, tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        ingest(settings, ITEM, tmp_path / "nowhere")


def test_a_stopped_postgres_is_a_clear_message(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, dsn=f"postgresql://postgres@/nearline?host={tmp_path}")
    with pytest.raises(DatabaseError, match="cannot be reached"):
        ingest(settings, ITEM, write(tmp_path / "items.csv", ITEMS))


def test_a_second_load_of_the_same_files_at_once_waits_its_turn(
    settings: Settings, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "items.csv", ITEMS)

    def second(*_: object) -> None:
        monkeypatch.undo()
        ingest(settings, ITEM, path)

    monkeypatch.setattr("nearline.adapters.ingest._stage", second)
    with pytest.raises(InputError, match="another process is loading it"):
        ingest(settings, ITEM, path)
    assert nothing_left(connection)


@pytest.mark.usefixtures("spark")
def test_times_that_python_cannot_hold_are_rejected_rows(catalogue: Settings, tmp_path: Path) -> None:
    years = 366 * 86_400 * 1_000_000
    micros = [10_000 * years, -3_000 * years, *range(1_000_000, 99_000_000, 1_000_000)]
    table = pa.table(
        {
            "user_id": ["ada"] * len(micros),
            "item_id": ["page-1"] * len(micros),
            "kind": ["view"] * len(micros),
            "occurred_at": pa.array(micros).cast(pa.timestamp("us", "UTC")),
        }
    )
    pq.write_table(table, tmp_path / "events.parquet")
    summary = ingest(catalogue, EVENT, tmp_path / "events.parquet")
    assert summary.rejected == {"occurred_at is in the future": 1, "occurred_at is before 1970": 1}
