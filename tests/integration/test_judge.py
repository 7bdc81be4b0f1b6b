"""The gate beside a champion: never on what that one has learnt, and the reason says what was done about it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

import judge
import tiny_models
from nearline.adapters import mlflow_registry
from nearline.core.split import window_rows
from nearline.daily_training import train_run
from nearline.errors import GateRefused
from nearline.models.interest_model import InterestModel
from nearline.run_folder import RunFolder
from nearline.settings import Settings
from tiny_run import pair_items, take_snapshot

DAY = tiny_models.DAY
CUT, INNER_CUT, LATER = 18 * DAY, 14 * DAY, 20 * DAY
LEDGER = tiny_models.small_world(people=150)
Judged = tuple[dict[str, Any], str]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A run with its candidate, and the same model as champion."""
    folder = tmp_path_factory.mktemp("judge")
    values = {
        "NEARLINE_HOME": str(folder / "home"),
        "NEARLINE_MLFLOW_URI": f"sqlite:///{folder}/mlflow.db",
        "NEARLINE_TEXT_MODEL": str(tiny_models.tiny_encoder(folder / "encoder")),
        "NEARLINE_EPOCHS": "2",
        "NEARLINE_TEXT_STEPS": "2",
        "LOCAL_WORLD_SIZE": "2",  # one thread: so small a model waits longer for a second
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        patch.chdir(folder)  # a store without a server puts its artifacts below the working folder
        settings = Settings.from_env()
        run = RunFolder(settings, "day-1")
        take_snapshot(run, LEDGER, CUT, INNER_CUT)
        pair_items(run, LEDGER, CUT, INNER_CUT)
        train_run(settings, run.name, None)
        client = mlflow_registry.connect(settings)
        client.create_registered_model(settings.model)
        tracked = mlflow_registry.TrainingRun.named(settings, "day-0").run_id
        client.create_model_version(settings.model, run.model.as_uri(), tracked)
        mlflow_registry.move_alias(settings, 1)
        kept = settings.models_folder / mlflow_registry.version_name(1, tracked)
        shutil.copytree(run.model, kept)
        yield settings


@pytest.fixture
def judged(settings: Settings) -> Callable[[Callable[[dict[str, Any]], None]], Judged]:
    """Judge beside a champion whose model.json is changed; what judgement.json says."""
    [champion] = settings.models_folder.iterdir()
    run = RunFolder(settings, "day-1")

    def of(change: Callable[[dict[str, Any]], None]) -> Judged:
        described = json.loads((run.model / "model.json").read_text())
        change(described)
        (champion / "model.json").write_text(json.dumps(described))
        with suppress(GateRefused):
            judge.main(["--run", run.name])
        found = json.loads(run.judgement.read_text())
        return found, found["reason"]

    return of


def trained_until(moment: float) -> Callable[[dict[str, Any]], None]:
    return lambda described: described["notes"].update(trained_until=moment)


def test_the_candidate_says_what_it_began_with(settings: Settings) -> None:
    model = InterestModel.load(RunFolder(settings, "day-1").model)
    assert model.notes["text_model"] == settings.text_model
    assert model.trained_until == CUT


def test_a_champion_that_learnt_no_more_is_judged_on_the_whole_window(judged: Callable[..., Judged]) -> None:
    found, reason = judged(trained_until(CUT))
    assert found["metrics"]["all"]["count"] == len(window_rows(LEDGER, CUT, float("inf"), 2000, 7))
    assert found["rivals"]["champion"] == found["metrics"]  # it is the same model
    assert "champion, version" not in reason


def test_a_champion_that_learnt_more_is_judged_on_what_came_later(judged: Callable[..., Judged]) -> None:
    found, reason = judged(trained_until(LATER))
    later = len(window_rows(LEDGER, LATER, float("inf"), 2000, 7))
    assert later >= 100
    assert {strata["all"]["count"] for strata in [found["metrics"], *found["rivals"].values()]} == {later}
    assert found["rivals"]["champion"] == found["metrics"]
    assert "the champion, version 1, has learnt more than the candidate" in reason
    assert "from 1970-01-21 00:00:00+00:00 on" in reason


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (trained_until(26 * DAY), "too little came after what it has learnt"),
        (lambda described: described["notes"].pop("trained_until"), "too little came after what it has learnt"),
        (lambda described: described.update(format=1), "expected format 3, saw 1"),
    ],
    ids=["learnt nearly all", "does not say", "cannot be read"],
)
def test_a_champion_that_cannot_be_compared_is_left_out_and_the_reason_says_so(
    judged: Callable[..., Judged], change: Callable[[dict[str, Any]], None], said: str
) -> None:
    found, reason = judged(change)
    assert "champion" not in found["rivals"]
    assert found["metrics"]["all"]["count"] == len(window_rows(LEDGER, CUT, float("inf"), 2000, 7))
    assert "the champion, version 1, is left out" in reason
    assert said in reason
