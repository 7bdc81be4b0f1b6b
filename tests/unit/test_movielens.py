from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import load_movielens
from nearline.core.movielens import film
from nearline.errors import InputError

FILES = {
    "movies.csv": (
        "movieId,title,genres\n1,Toy Story (1995),Animation|Comedy\n"
        '2,"Postman, The (Postino, Il) (1994)",(no genres listed)\n'
    ),
    "ratings.csv": "userId,movieId,rating,timestamp\n7,1,4.5,1000000001\n7,2,1.0,1000000000\n",
    "tags.csv": 'userId,movieId,tag,timestamp\n7,1,"toys, alive",1000000002\n',
    "links.csv": "movieId,imdbId,tmdbId\n1,0114709,862\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_folder_becomes_items_and_events(folder: Path) -> None:
    assert load_movielens.main([str(folder), "--out", str(folder / "out")]) == 0
    toys, postman = pq.read_table(folder / "out/items.parquet").to_pylist()
    assert (toys["title"], toys["kind"]) == ("Toy Story", "film")
    assert json.loads(toys["attributes"]) == {"genres": ["Animation", "Comedy"], "year": 1995, "imdb_id": "tt0114709"}
    assert postman["title"] == "The Postman (Postino, Il)"
    assert postman["description"] == "A film of 1994."
    events = pq.read_table(folder / "out/events.parquet").to_pylist()
    assert [(e["user_id"], e["item_id"], e["kind"], e["value"], e["text"]) for e in events] == [
        ("7", "2", "rate", 1.0, None),
        ("7", "1", "rate", 4.5, None),
        ("7", "1", "comment", None, "toys, alive"),
    ]
    assert events[0]["occurred_at"] == datetime.fromtimestamp(1_000_000_000, UTC)


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("Heat (1995)", "Heat"),
        ("Usual Suspects, The (1995)", "The Usual Suspects"),
        ("(500) Days of Summer (2009)", "(500) Days of Summer"),
        ("Avventura, L' (1960)", "L'Avventura"),
        ("Babylon 5", "Babylon 5"),
    ],
)
def test_titles_read_as_people_say_them(title: str, shown: str) -> None:
    assert film({"movieId": "1", "title": title, "genres": "Drama"})["title"] == shown


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "tags.csv").unlink()
    with pytest.raises(InputError, match=r"tags\.csv is missing"):
        load_movielens.main([str(folder), "--out", str(folder / "out")])
    assert not (folder / "out").exists()


def test_a_missing_column_is_named(folder: Path) -> None:
    (folder / "ratings.csv").write_text("userId::movieId::rating::timestamp\n1::1::4::5\n")
    with pytest.raises(InputError, match=r"ratings\.csv: expected the columns userId.*missing: userId"):
        load_movielens.main([str(folder), "--out", str(folder / "out")])
