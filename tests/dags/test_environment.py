"""What a DAG file reads from the environment is what the jobs read."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from nearline.adapters import drain
from nearline.errors import SettingsError
from nearline.settings import Settings
from nearline_airflow import environment

DAG_FILE = Path(__file__).resolve().parents[2] / "dags" / "nearline_interests.py"


def test_defaults_are_those_of_the_settings() -> None:
    settings = Settings.from_env({})
    assert environment.shards() == settings.shards
    assert environment.time_for_a_run() == timedelta(seconds=15 + 30 + settings.drain_seconds + settings.lag_budget)
    assert environment.spark_memory() is None
    assert timedelta(seconds=drain.LOCK_SECONDS) == environment.LOCK


@pytest.mark.parametrize("variable", ["NEARLINE_SHARDS", "NEARLINE_DRAIN_SECONDS", "NEARLINE_LAG_BUDGET"])
@pytest.mark.parametrize("value", ["1", "3", "64", "65", "3600", "3601", "0", "-1", "1.5", "", " 2", "two"])
def test_a_value_is_right_or_wrong_for_both(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    read = environment.shards if variable == "NEARLINE_SHARDS" else environment.time_for_a_run
    problem = None
    try:
        settings = Settings.from_env({variable: value})
    except SettingsError as caught:
        problem = str(caught)
    if problem:
        with pytest.raises(ValueError) as raised:
            read()
        assert str(raised.value) == problem
    else:
        together = timedelta(seconds=45 + settings.drain_seconds + settings.lag_budget)
        assert read() == (settings.shards if variable == "NEARLINE_SHARDS" else together)


@pytest.mark.parametrize("value", ["2g", "512m", "2", "2G", "", " 2g", "2 g", "two"])
def test_memory_is_right_or_wrong_for_both(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARLINE_SPARK_MEMORY", value)
    problem = None
    try:
        settings = Settings.from_env({"NEARLINE_SPARK_MEMORY": value})
    except SettingsError as caught:
        problem = str(caught)
    if problem:
        with pytest.raises(ValueError) as raised:
            environment.spark_memory()
        assert str(raised.value) == problem
    else:
        assert environment.spark_memory() == settings.spark_memory


def test_a_wrong_value_is_the_import_error_that_airflow_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("NEARLINE_SHARDS", "many")
    (error,) = DagBag(dag_folder=str(DAG_FILE), bundle_name="test").import_errors.values()
    assert "NEARLINE_SHARDS: expected a whole number from 1 to 64, saw 'many'. Fix: use a number such as 2." in error
