"""The quality benchmark reads what the project reads, and data that know only an order."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.quality import contestants
from benchmarks.quality.data import QualityData, default_kind_weights
from benchmarks.quality.run_quality import make_problem
from nearline.adapters.row_reading import cell_values
from nearline.core.cleaning import Rejection, clean_event
from nearline.errors import InputError

ITEMS = [
    {"item_id": name, "kind": "game", "title": f"Game {name}", "attributes": '{"tags": ["odd"]}'} for name in "abcd"
]
EVENTS = [
    {"user_id": f"u{user}", "item_id": item, "kind": "play", "occurred_at": f"2026-01-0{day}T00:00:00+00:00"}
    for user in range(4)
    for day, item in enumerate("abcd", 1)
]


def write(folder: Path, items: list[dict[str, str]], events: Sequence[Mapping[str, object]], ending: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, rows in (("items", items), ("events", events)):
        path = folder / f"{name}.{ending}"
        if ending == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        elif ending == "csv":
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        else:
            path.write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_a_canonical_folder_of_any_format(tmp_path: Path, ending: str) -> None:
    twice = [*EVENTS, EVENTS[0]]  # the same row twice is one event, as in ingest
    data = QualityData.load(write(tmp_path / "shop", ITEMS, twice, ending))
    assert data.name == "shop"
    assert data.item_ids == ["a", "b", "c", "d"]
    assert data.texts[0] == "Game a. odd."
    assert len(data.ledger) == len(EVENTS)
    assert data.timed
    assert data.ledger.weight.tolist() == [2.0] * len(EVENTS)
    assert data.ledger.time[0] == 1767225600.0


def test_weights_are_those_of_the_migrations() -> None:
    weights = default_kind_weights()
    assert (weights["view"], weights["purchase"], weights["dislike"]) == (1.0, 5.0, -3.0)


def test_movielens_own_folder(tmp_path: Path) -> None:
    (tmp_path / "movies.csv").write_text('movieId,title,genres\n1,"Heat (1995)",Action|Crime\n2,Up (2009),Animation\n')
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n7,1,4.0,1000\n7,2,3.0,2000\n")
    (tmp_path / "tags.csv").write_text("userId,movieId,tag,timestamp\n7,2,funny,3000\n")
    data = QualityData.load(tmp_path)
    assert data.ledger.time.tolist() == [1000.0, 2000.0, 3000.0]
    assert data.texts[0].startswith("Heat. Action, Crime.")
    assert data.name == tmp_path.name


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_an_order_is_enough_for_leave_one_out(tmp_path: Path, ending: str, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"user_id": event["user_id"], "item_id": event["item_id"]} for event in EVENTS]
    data = QualityData.load(write(tmp_path, ITEMS, rows, ending))
    assert not data.timed
    assert "the order is that of the rows. Saw user_id, item_id" in caplog.text  # a time of another name would be lost
    problem = make_problem(data, "loo", 7)
    assert [data.item_ids[item] for item in problem.test.targets] == ["d"] * 4
    with pytest.raises(InputError, match="PROTOCOL=loo"):
        make_problem(data, "successive", 7)
    backwards = [row | {"position": str(-place)} for place, row in enumerate(rows)]
    problem = make_problem(QualityData.load(write(tmp_path, ITEMS, backwards, ending)), "loo", 7)
    assert [data.item_ids[item] for item in problem.test.targets] == ["a"] * 4
    numbers = [row | {"position": -place} for place, row in enumerate(rows)]
    problem = make_problem(QualityData.load(write(tmp_path, ITEMS, numbers, ending)), "loo", 7)
    assert [data.item_ids[item] for item in problem.test.targets] == ["a"] * 4
    broken = [row | {"position": "first"} for row in rows]
    with pytest.raises(InputError, match="position is not a number"):
        QualityData.load(write(tmp_path, ITEMS, broken, ending))


def test_rows_that_cannot_be_read_are_refused_as_in_ingest(tmp_path: Path) -> None:
    odd = [event | {"kind": "dreamt"} for event in EVENTS]
    with pytest.raises(InputError, match=r"kind 'dreamt' is unknown\. Fix: use the kinds cart, .*, wishlist, or set"):
        QualityData.load(write(tmp_path, ITEMS, odd, "csv"))


def test_events_of_items_outside_the_catalogue_are_refused_as_in_ingest(tmp_path: Path) -> None:
    """And counted: a figure of what is left would speak of other data than the folder's."""
    rows = [{"user_id": event["user_id"], "item_id": event["item_id"]} for event in EVENTS]
    for events in (EVENTS, rows):
        with pytest.raises(InputError, match="saw 4 of 16, most often: item_id is not in the catalogue"):
            QualityData.load(write(tmp_path, ITEMS[:3], events, "csv"))
    many = [EVENTS[0] | {"occurred_at": f"2026-01-01T00:00:{second:02d}Z"} for second in range(30)]
    data = QualityData.load(write(tmp_path, ITEMS, [*many, EVENTS[0] | {"item_id": "gone"}], "csv"))
    assert (len(data.ledger), data.rejected) == (30, 1)
    inactive = [*ITEMS[:3], ITEMS[3] | {"is_active": "false"}]  # in the catalogue, though nothing to recommend
    data = QualityData.load(write(tmp_path, [item | {"is_active": "true"} | item for item in inactive], EVENTS, "csv"))
    assert (data.item_ids, len(data.ledger), data.rejected) == (["a", "b", "c"], 12, 0)


def test_a_folder_of_other_names_is_told_how_to_name_its_files(tmp_path: Path) -> None:
    folder = write(tmp_path, ITEMS, EVENTS, "csv")
    for old, new in (("items", "products"), ("events", "clicks")):
        (folder / f"{old}.csv").rename(folder / f"{new}.csv")
    with pytest.raises(InputError, match=r"clicks\.csv: .* Fix: .* name the files items\.\* and events\.\*"):
        QualityData.load(folder)


def test_times_of_another_type_are_told_how_to_be_written(tmp_path: Path) -> None:
    folder = write(tmp_path, ITEMS, [event | {"occurred_at": 1_700_000_000} for event in EVENTS], "parquet")
    with pytest.raises(
        InputError, match=r"occurred_at, saw the type int64\. Fix: write it as a timestamp of UTC, or as text"
    ):
        QualityData.load(folder)


def test_one_id_with_two_contents_is_refused_as_in_ingest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [event | {"event_id": "one"} for event in EVENTS[:2]]
    with pytest.raises(InputError, match="saw 1 of 2, most often: event_id seen twice with different content"):
        QualityData.load(write(tmp_path, ITEMS, events, "csv"))
    items = [*ITEMS, ITEMS[0] | {"title": "another"}]
    with pytest.raises(InputError, match=r"saw 1 of 5, most often: item_id seen twice .* NEARLINE_MAX_REJECTED_SHARE"):
        QualityData.load(write(tmp_path, items, EVENTS, "csv"))
    monkeypatch.setenv("NEARLINE_MAX_REJECTED_SHARE", "0.2")
    data = QualityData.load(write(tmp_path, items, [*EVENTS, EVENTS[0]], "csv"))
    assert (len(data.item_ids), len(data.ledger), data.rejected) == (4, 16, 1)


def test_nothing_to_read_is_told_apart_from_too_little(tmp_path: Path) -> None:
    folder = write(tmp_path, ITEMS, EVENTS, "csv")
    for name in ("events", "items"):
        path = folder / f"{name}.csv"
        path.write_text(path.read_text().splitlines()[0] + "\n")
        with pytest.raises(InputError, match=f"{name}.csv: expected rows, saw none"):
            QualityData.load(folder)
    gone = [item | {"is_active": "false"} for item in ITEMS]
    with pytest.raises(InputError, match="expected active items, saw 4 that are not"):
        QualityData.load(write(tmp_path, gone, EVENTS, "csv"))


@pytest.mark.parametrize("line", [2, 8])
def test_a_quote_that_nobody_closes_is_named_by_its_line(tmp_path: Path, line: int) -> None:
    folder = write(tmp_path, ITEMS, EVENTS * 500, "csv")
    path = folder / "events.csv"
    lines = path.read_text().splitlines()
    lines[line - 1] = f'"{lines[line - 1]}'
    path.write_text("\n".join(lines))
    with pytest.raises(
        InputError, match=rf"events\.csv: the row of line {line} cannot be read .* Fix: close the quote"
    ):
        QualityData.load(folder)


def test_what_python_cannot_hold_is_a_rejected_row(tmp_path: Path) -> None:
    """Times beyond the years that Python counts, and text that is not UTF-8, which Parquet does not check."""
    second, years = 1_000_000, 366 * 86_400 * 1_000_000
    micros = pa.array([second, None, 10_000 * years, -3_000 * years])
    for zone in ("UTC", "Asia/Tokyo", "America/Lima"):
        found = cell_values(micros.cast(pa.timestamp("us", zone)))
        assert found[:2] == [datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), None]
        reasons = [clean_event(EVENTS[0] | {"occurred_at": time}, {"play"}, datetime.now(UTC)) for time in found[2:]]
        assert reasons == [Rejection("occurred_at is in the future"), Rejection("occurred_at is before 1970")]
    count = 100
    users = pa.array([b"u", b"\xff", *[b"u"] * (count - 2)], pa.binary())
    times = pa.array([10_000 * years, *range(second, count * second, second)])
    table = pa.table(
        {
            "user_id": pa.Array.from_buffers(pa.string(), count, users.buffers()),
            "item_id": ["a"] * count,
            "kind": ["play"] * count,
            "occurred_at": times.cast(pa.timestamp("us", "UTC")),
        }
    )
    folder = write(tmp_path, ITEMS, EVENTS, "parquet")
    pq.write_table(table, folder / "events.parquet")
    data = QualityData.load(folder)
    assert (len(data.ledger), data.rejected) == (count - 2, 2)


def test_peers_are_those_that_can_be_run() -> None:
    said = subprocess.run([sys.executable, str(contestants.RUN_PEER), "--help"], capture_output=True, text=True)
    choices = said.stdout.split("{")[1].split("}")[0]
    assert set("".join(choices.split()).split(",")) == set(contestants.PEERS)
    assert contestants.wanted_peers("none") == []
    assert contestants.wanted_peers("ease, ials") == ["ease", "ials"]
    with pytest.raises(InputError, match="saw magic"):
        contestants.wanted_peers("magic")


def test_a_peer_that_fails_is_told_and_old_scores_are_not_taken(tmp_path: Path) -> None:
    scores = contestants.Scores(tmp_path / "scores", "now")
    scores.folder.mkdir()
    np.save(scores.folder / "ease.npy", np.zeros((1, 1), np.float32))
    (scores.folder / "ease.json").write_text('{"problem": "before"}')
    assert scores.facts("ease") is None
    failed = contestants.run_peers(scores, ["popularity_7"], Path(sys.executable), 1.0, lambda _: False)
    assert "see logs/popularity_7.log" in failed["popularity_7"]
    assert scores.names() == []
    before = scores.written()
    (scores.folder / "ials.json").write_text("{}")
    np.save(scores.folder / "ials.npy", np.zeros((1, 1), np.float32))
    made_by = contestants.code()
    scores.stamp(before, made_by)
    assert scores.names() == ["ials"]
    facts = scores.facts("ials")
    assert facts is not None
    assert facts["code"] == made_by
    assert set(made_by) == {"version", "digest", "peers", "evaluation"}
