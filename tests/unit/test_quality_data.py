"""The quality benchmark reads what the project reads, and data that know only an order."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.quality import contestants
from benchmarks.quality.data import QualityData, default_kind_weights
from benchmarks.quality.run_quality import make_problem
from nearline.errors import InputError

ITEMS = [
    {"item_id": name, "kind": "game", "title": f"Game {name}", "attributes": '{"tags": ["odd"]}'} for name in "abcd"
]
EVENTS = [
    {"user_id": f"u{user}", "item_id": item, "kind": "play", "occurred_at": f"2026-01-0{day}T00:00:00+00:00"}
    for user in range(4)
    for day, item in enumerate("abcd", 1)
]


def write(folder: Path, items: list[dict[str, str]], events: list[dict[str, str]], ending: str) -> Path:
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
def test_an_order_is_enough_for_leave_one_out(tmp_path: Path, ending: str) -> None:
    rows = [{"user_id": event["user_id"], "item_id": event["item_id"]} for event in EVENTS]
    data = QualityData.load(write(tmp_path, ITEMS, rows, ending))
    assert not data.timed
    problem = make_problem(data, "loo", 7)
    assert [data.item_ids[item] for item in problem.test.targets] == ["d"] * 4
    with pytest.raises(InputError, match="PROTOCOL=loo"):
        make_problem(data, "successive", 7)
    backwards = [row | {"position": str(-place)} for place, row in enumerate(rows)]
    problem = make_problem(QualityData.load(write(tmp_path, ITEMS, backwards, ending)), "loo", 7)
    assert [data.item_ids[item] for item in problem.test.targets] == ["a"] * 4
    broken = [row | {"position": "first"} for row in rows]
    with pytest.raises(InputError, match="position is not a number"):
        QualityData.load(write(tmp_path, ITEMS, broken, ending))


def test_rows_that_cannot_be_read_are_refused_as_in_ingest(tmp_path: Path) -> None:
    odd = [event | {"kind": "dreamt"} for event in EVENTS]
    with pytest.raises(InputError, match="kind 'dreamt' is unknown"):
        QualityData.load(write(tmp_path, ITEMS, odd, "csv"))


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
    assert set(made_by) == {"version", "digest", "peers"}
