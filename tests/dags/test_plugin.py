"""The Nearline page in Airflow: behind its login, harmless with hostile text, helpful without a database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from nearline.adapters.airflow_environment import postgres_connection
from nearline.adapters.postgres import Connection
from nearline.settings import Settings

HOSTILE = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def client(airflow_database: None) -> Iterator[TestClient]:
    """Airflow's own app, with the plugin that it finds itself."""
    from airflow.api_fastapi.app import create_app

    with TestClient(create_app(apps="core"), follow_redirects=False) as client:
        yield client


@pytest.fixture
def logged_in(client: TestClient) -> Iterator[TestClient]:
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    passwords = json.loads(Path(SimpleAuthManager.get_generated_password_file()).read_text())
    login = client.post("/auth/token", json={"username": "admin", "password": passwords["admin"]})
    client.cookies.set("_token", login.json()["access_token"])
    yield client
    client.cookies.clear()


@pytest.fixture
def page_database(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("AIRFLOW_CONN_NEARLINE_POSTGRES", postgres_connection(settings))
    return settings


def test_airflow_finds_one_plugin_and_one_view() -> None:
    from airflow import plugins_manager

    info = {plugin["name"]: plugin for plugin in plugins_manager.get_plugin_info()}
    assert info["nearline"]["external_views"][0]["url_route"] == "nearline"
    assert [app["url_prefix"] for app in info["nearline"]["fastapi_apps"]] == ["/nearline"]
    assert plugins_manager.get_import_errors() == {}


def test_anonymous_is_refused(client: TestClient) -> None:
    assert client.get("/nearline/").status_code == 401
    assert client.get("/nearline/?user=u1").status_code == 401
    assert client.get("/nearline/", headers={"Cookie": "_token=not.a.token"}).status_code in (401, 403)


def test_before_the_first_model(logged_in: TestClient, page_database: Settings) -> None:
    answer = logged_in.get("/nearline/")
    assert answer.status_code == 200
    assert "No model is live yet" in answer.text


def test_hostile_text_is_shown_as_text(logged_in: TestClient, page_database: Settings, connection: Connection) -> None:
    connection.execute("reset role")
    connection.execute(
        "insert into nearline_data.item (item_id, kind, title) values ('i1', 'page', %s), ('i2', 'page', %s)",
        (HOSTILE, HOSTILE),
    )
    connection.execute(
        "insert into nearline_data.event (event_id, user_id, item_id, kind, text, occurred_at)"
        " values ('e1', 'u1', 'i1', 'view', null, now()), ('e2', 'u1', null, 'search', %s, now())",
        (HOSTILE,),
    )
    connection.execute("select nearline_data._refresh_popularity()")
    answer = logged_in.get("/nearline/", params={"user": "u1", "kind": HOSTILE})
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert answer.text.count("&lt;script&gt;alert") >= 3
    others = logged_in.get("/nearline/", params={"user": HOSTILE})
    assert "<script>alert" not in others.text
    assert 'id="recommendations"' in others.text


@pytest.mark.parametrize("query", ["count=0", "count=101", "count=x", "user=" + "u" * 501])
def test_bad_questions_are_refused(logged_in: TestClient, query: str) -> None:
    assert logged_in.get(f"/nearline/?{query}").status_code == 422


def test_a_stopped_postgres_is_said_with_the_fix(
    logged_in: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_NEARLINE_POSTGRES", postgres_connection(Settings(home=tmp_path)))
    answer = logged_in.get("/nearline/")
    assert answer.status_code == 503
    assert "make up" in answer.text
    assert "Traceback" not in answer.text


def test_an_empty_database_is_said_with_the_fix(
    logged_in: TestClient, server: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_NEARLINE_POSTGRES", postgres_connection(server))  # never migrated
    answer = logged_in.get("/nearline/")
    assert answer.status_code == 503
    assert "make migrate" in answer.text


def test_a_missing_connection_is_said(logged_in: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_NEARLINE_POSTGRES", raising=False)
    answer = logged_in.get("/nearline/")
    assert answer.status_code == 503
    assert "nearline_postgres" in answer.text


def test_the_page_cannot_write(page_database: Settings, airflow_database: None) -> None:
    import psycopg

    from nearline_airflow.page import _reader

    with _reader() as connection:
        assert connection.execute("select current_user as name").fetchone() == {"name": "nearline_reader"}
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("create table public.stolen ()")
    with _reader() as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select * from nearline_data.event")
