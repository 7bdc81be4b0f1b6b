"""Settings are checked at the start; what is wrong is named with the value seen and the fix, secrets excepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from nearline.adapters.airflow_environment import local_environment
from nearline.errors import SettingsError
from nearline.settings import Settings


def test_nothing_set_is_the_embedded_default() -> None:
    settings = Settings.from_env({})
    assert (settings.dsn, settings.mlflow_uri, settings.airflow_url) == (None, None, None)
    assert settings.home == Path.cwd() / ".nearline"


def test_values_are_read() -> None:
    settings = Settings.from_env(
        {"NEARLINE_HOME": "/x/y", "NEARLINE_SEED": "9", "NEARLINE_SPARK_MASTER": "spark://h:7077"}
    )
    assert (settings.home, settings.seed, settings.spark_master) == (Path("/x/y"), 9, "spark://h:7077")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("NEARLINE_HOME", " "),
        ("NEARLINE_SEED", "seven"),
        ("NEARLINE_SEED", "-1"),
        ("NEARLINE_HISTORY_LENGTH", "0"),
        ("NEARLINE_HOT_DAYS", "1.5"),
        ("NEARLINE_MAX_REJECTED_SHARE", "5"),
        ("NEARLINE_MAX_REJECTED_SHARE", "nan"),
        ("NEARLINE_AIRFLOW_PORT", "70000"),
        ("NEARLINE_AIRFLOW_URL", "airflow.example"),
        ("NEARLINE_SPARK_MASTER", "cluster"),
        ("NEARLINE_SPARK_MEMORY", "2 GB"),
        ("NEARLINE_MLFLOW_URI", "mlflow.example:5000"),
    ],
)
def test_a_wrong_value_is_named_with_the_fix(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{variable}: expected .*saw .* Fix: ") as caught:
        Settings.from_env({variable: value})
    if variable != "NEARLINE_MLFLOW_URI":
        assert repr(value) in str(caught.value)


def test_a_mistyped_name_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"NEARLINE_SEEDS: there is no such setting. Fix: unset it.*NEARLINE_SEED"):
        Settings.from_env({"NEARLINE_SEEDS": "1"})


def test_what_kubernetes_sets_for_a_service_is_an_error_that_says_so() -> None:
    with pytest.raises(SettingsError, match=r"NEARLINE_SERVICE_HOST: .* enableServiceLinks: false"):
        Settings.from_env({"NEARLINE_SERVICE_HOST": "10.0.0.1"})


def test_secrets_are_never_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"NEARLINE_DSN": "hush-hush"})
    assert "hush" not in str(caught.value)
    assert "hush" not in repr(Settings(dsn="postgresql://u:hush@h/d", mlflow_uri="http://u:hush@h"))


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:hu%sh@h/d",
        "postgresql://u:hu@sh@h/d",
        "postgresql://u:hu/sh@h/d",
        "postgresql://u:1/sh@h/d",
        "host=h password=hu sh dbname=d",
    ],
)
def test_a_password_that_cuts_its_dsn_is_not_taken_for_a_host(dsn: str) -> None:
    with pytest.raises(
        SettingsError, match=r"NEARLINE_DSN: .* write %25 %2F %40 .* saw a value not shown here"
    ) as caught:
        Settings.from_env({"NEARLINE_DSN": dsn})
    assert "sh@" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_dsn_may_be_written_in_many_ways() -> None:
    for dsn in (
        "postgresql://u:h%40s%2Fh@h:5432/d?sslmode=require", "postgresql://u:h:u?s#h@h/d", "postgresql:///d?host=/run/postgresql",
        "host=/run/postgresql password='hu sh' dbname=d", "postgresql://a:1,b:2/d?target_session_attrs=any",
    ):  # fmt: skip
        assert Settings.from_env({"NEARLINE_DSN": dsn}).dsn == dsn


def test_what_the_local_servers_are_told_reads_back_as_the_same_settings() -> None:
    settings = Settings.from_env(
        {"NEARLINE_HYPERPARAMETERS": '{"behaviour.learning_rate": 0.002}', "NEARLINE_SEED": "3"}
    )
    told = {name: value for name, value in local_environment(settings).items() if name.startswith("NEARLINE_")}
    assert Settings.from_env(told) == settings
