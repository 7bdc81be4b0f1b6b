"""Airflow as in `make up`, but on an SQLite file of its own; set before anything imports airflow."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

REPOSITORY = Path(__file__).resolve().parents[2]
AIRFLOW_HOME = Path(tempfile.mkdtemp(prefix="nearline-airflow-"))

for name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
    del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": str(AIRFLOW_HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,guest:",  # the guest may log in, and do nothing
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{AIRFLOW_HOME}/airflow.db",
    "AIRFLOW__API_AUTH__JWT_SECRET": "a-secret-of-the-tests-that-is-long-enough-to-sign-with-it-0123456789",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Airflow's tables, in the SQLite file."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture(scope="module")
def client(airflow_database: None) -> Iterator[TestClient]:
    """Airflow's own app, with the plugin that it finds itself."""
    from airflow.api_fastapi.app import create_app

    with TestClient(create_app(apps="core"), follow_redirects=False) as client:
        yield client


@pytest.fixture
def token(client: TestClient) -> str:
    """What Airflow gives to somebody who logs in."""
    return _token(client, "admin")


@pytest.fixture
def token_of_guest(client: TestClient) -> str:
    """The same for somebody without any permission."""
    return _token(client, "guest")


def _token(client: TestClient, user: str) -> str:
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    passwords = json.loads(Path(SimpleAuthManager.get_generated_password_file()).read_text())
    login = client.post("/auth/token", json={"username": user, "password": passwords[user]})
    return str(login.json()["access_token"])
