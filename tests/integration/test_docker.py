"""docker/ says what the code says, and its scripts do what they tell: all of it that needs no container."""

from __future__ import annotations

import base64
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from nearline.adapters import embedded_postgres
from nearline.adapters.airflow_environment import airflow_environment
from nearline.adapters.migrations import deploy
from nearline.adapters.postgres import connect
from nearline.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
PROJECT = (ROOT / "pyproject.toml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


def configure(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(DOCKER / "configure", folder)
    return subprocess.run([str(folder / "configure"), *arguments], capture_output=True, text=True)


def test_every_variable_is_one_that_is_read(settings: Settings) -> None:
    known = {field.metadata["variable"] for field in fields(Settings)}
    known |= {name for name in airflow_environment(settings) if name.startswith("AIRFLOW_")}
    used = {
        name
        for place, service in SERVICES.items()
        for name in service.get("environment", {})
        if place != "postgres" and name.startswith(("NEARLINE_", "AIRFLOW_"))
    }
    assert used <= known, used - known
    assert "NEARLINE_DSN" in used


def test_each_part_of_airflow_is_a_service_and_the_image_is_of_this_version() -> None:
    commands = {service.get("command", "").removeprefix("airflow ").split(" ")[0] for service in SERVICES.values()}
    assert commands >= {"api-server", "scheduler", "dag-processor", "triggerer"}
    [version] = re.findall(r'^version = "(.+)"$', PROJECT, re.MULTILINE)
    assert {service["image"] for service in SERVICES.values() if service["image"].startswith("nearline")} == {
        f"nearline:{version}"
    }


def test_what_the_image_copies_is_there_and_its_python_is_the_one_that_was_tried() -> None:
    text = (DOCKER / "Dockerfile").read_text()
    copied = [name for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE) for name in line.split()]
    assert {"dags", "plugins", "jobs", "sql", "requirements.lock"} <= set(copied)
    assert all((ROOT / name).exists() for name in copied)
    assert set(re.findall(r"python(\d\.\d+)", text)) == set(re.findall(r'requires-python = ">=([\d.]+)', PROJECT))


def test_configure_makes_all_that_compose_asks_for_once_and_for_its_owner(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert configure(tmp_path, str(tmp_path / "data")).returncode == 0
    made = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines())
    assert made.keys() == set(re.findall(r"\$\{(\w+)\}", (DOCKER / "compose.yaml").read_text()))
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert len(base64.urlsafe_b64decode(made["FERNET_KEY"])) == 32, "as Airflow wants it"
    passwords = [value for name, value in made.items() if name.endswith("_PASSWORD")]
    assert all(re.fullmatch(r"[\w-]{24}", one) for one in passwords), "in addresses as it is"
    assert len(set(passwords)) == len(passwords) == 8, "who knows one login's knows no other's"
    assert made["DATA_FOLDER"] == str(tmp_path / "data")
    again = configure(tmp_path, str(tmp_path / "data"))
    assert again.returncode == 1
    assert "expected no" in again.stderr
    assert dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines()) == made


@pytest.mark.parametrize(("arguments", "said"), [(["nowhere"], "saw nowhere"), (["a", "b"], "saw 2: a b")])
def test_configure_names_what_is_wrong(tmp_path: Path, arguments: list[str], said: str) -> None:
    refused = configure(tmp_path, *arguments)
    assert refused.returncode == 1
    assert said in refused.stderr
    assert not (tmp_path / ".env").exists()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Settings]:
    """A server of its own: logins belong to a server."""
    settings = Settings(home=tmp_path / "home")
    embedded_postgres.start(settings)
    try:
        yield settings
    finally:
        embedded_postgres.stop(settings)


def test_the_logins_are_enough_and_no_more(fresh: Settings, tmp_path: Path) -> None:
    script = tmp_path / "logins.sh"
    script.write_text((DOCKER / "logins.sh").read_text().replace("/srv/roles.sql", str(ROOT / "sql" / "roles.sql")))
    admin = psycopg.conninfo.conninfo_to_dict(embedded_postgres.dsn(fresh, "postgres"))
    environment = {
        "PATH": f"{embedded_postgres.psql_path().parent}:{os.environ['PATH']}",
        "PGHOST": str(admin["host"]), "PGPORT": str(admin["port"]),
        **{name: f"p'w of {name}" for name in SERVICES["postgres"]["environment"]},
    }  # fmt: skip
    with psycopg.connect(embedded_postgres.dsn(fresh, "postgres"), autocommit=True) as connection:
        for database in ("airflow", "mlflow"):  # the local stack makes them; the image's server has none
            connection.execute(f"drop database {database}".encode())
    subprocess.run(["bash", str(script)], env=environment, check=True)

    def login(name: str) -> Settings:
        return replace(fresh, dsn=embedded_postgres.dsn(fresh, "shop").replace("postgres@", f"{name}@"))

    deploy(login("nearline_deploy"))
    with connect(login("shop_jobs")) as jobs:  # as nearline_engine
        jobs.execute("select from nearline_data.event")
    with connect(login("shop_page"), role="nearline_reader") as page:
        page.execute("select * from nearline.freshness")
    with connect(login("shop_web"), role=None) as web:
        web.execute("select nearline.record_event('u', 'search', with_text => 'tea')")
        web.execute("select * from nearline.recommend('u')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            web.execute("select * from nearline_data.event")
    for name in ("airflow", "mlflow"):
        with psycopg.connect(embedded_postgres.dsn(fresh, name).replace("postgres@", f"{name}@")) as own:
            own.execute("create table mine ()")
