"""Hardly any data: no events, one person, one item. Each ends with a clear message, and nothing is published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import pair_items
import take_snapshot
import tiny_models
from nearline.adapters.postgres import Connection
from nearline.adapters.snapshot import read_facts
from nearline.daily_training import train_run
from nearline.errors import GateRefused, InputError
from nearline.run_folder import RunFolder
from nearline.settings import Settings


@pytest.mark.usefixtures("spark")
def test_no_events_are_refused_with_the_fix(settings: Settings) -> None:
    with pytest.raises(GateRefused, match=r"saw 0 active items and 0 events\. Fix: load them"):
        take_snapshot.main(["--run", "empty"])


@pytest.mark.usefixtures("spark")
def test_one_person_and_one_item_are_nothing_to_learn_from(
    settings: Settings, connection: Connection, tmp_path: Path
) -> None:
    connection.execute("insert into nearline_data.item (item_id, kind, title) values ('a', 'page', 'The only page')")
    connection.execute("select nearline.record_event('u1', 'view', 'a')")
    assert take_snapshot.main(["--run", "one"]) == 0
    assert pair_items.main(["--run", "one"]) == 0
    facts = read_facts(RunFolder(settings, "one").snapshot)
    assert (facts["items"], facts["events"]) == (1, 1)
    encoder = tiny_models.tiny_encoder(tmp_path / "encoder")
    small = replace(settings, text_model=str(encoder), mlflow_uri=f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(InputError, match=r"Expected events that speak for items .*Fix: load events over a longer time"):
        train_run(small, "one", None)
    assert not RunFolder(settings, "one").model.exists()


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("name", ["../elsewhere", "", "a/b", "x" * 300])
def test_a_run_has_a_plain_name(name: str) -> None:
    with pytest.raises(InputError, match=r"--run: expected letters, digits"):
        take_snapshot.main(["--run", name])
