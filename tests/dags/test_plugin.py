"""The Nearline page in Airflow: behind its login, harmless with hostile text, helpful without a database."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from nearline.adapters import embedded_postgres
from nearline.adapters.airflow_environment import postgres_connection
from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import Connection
from nearline.adapters.version_tables import drop_tables
from nearline.settings import Settings
from nearline_airflow.reader import Unreadable, reader
from nearline_airflow.words import shown
from small_shop import MeanOfHistory, open_shop

HOSTILE = "<script>alert('x')</script>"


@pytest.fixture
def logged_in(client: TestClient, token: str) -> Iterator[TestClient]:
    client.cookies.set("_token", token)
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


def test_times_are_shown_in_utc_whatever_the_server_is_on() -> None:
    assert shown(datetime(2026, 11, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))) == "2026-10-31 23:30:00 UTC"


def test_anonymous_is_refused(client: TestClient) -> None:
    assert client.get("/nearline/").status_code == 401
    assert client.get("/nearline/?user=u1").status_code == 401
    assert client.get("/nearline/", headers={"Cookie": "_token=not.a.token"}).status_code in (401, 403)


def test_who_may_not_see_plugins_sees_nobody(client: TestClient, token_of_guest: str, page_database: Settings) -> None:
    bearer = {"Authorization": f"Bearer {token_of_guest}"}
    assert client.get("/nearline/", headers=bearer).status_code == 403
    assert client.get("/nearline/?user=u1", headers=bearer).status_code == 403


def test_before_the_first_model(logged_in: TestClient, page_database: Settings) -> None:
    answer = logged_in.get("/nearline/")
    assert answer.status_code == 200
    assert "No model is live yet" in answer.text
    assert "recommend(" not in logged_in.get("/nearline/?user=%20").text, "a blank is nobody"


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


def test_a_refused_candidate_is_shown_with_the_reason(
    logged_in: TestClient, page_database: Settings, connection: Connection
) -> None:
    connection.execute(
        "insert into nearline_data.judgement (run, judged_at, accepted, reason, metrics)"
        " values ('monday', now() - interval '1 day', true, 'better', '{}'), ('tuesday', now(), false, %s, '{}')",
        (f"not better than the champion {HOSTILE}",),
    )
    table = logged_in.get("/nearline/").text.partition('<table id="judgements">')[2].partition("</table>")[0]
    cells = [html.unescape(cell) for cell in re.findall("<td>(.*?)</td>", table)]
    assert cells[1:4] == ["tuesday", "refused", f"not better than the champion {HOSTILE}"]
    assert cells[5:] == ["monday", "accepted", "better"]
    assert "<script>" not in table


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


def test_a_server_that_was_never_migrated_is_said_with_the_fix(
    logged_in: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = Settings(home=tmp_path)
    embedded_postgres.start(fresh)
    try:
        monkeypatch.setenv("AIRFLOW_CONN_NEARLINE_POSTGRES", postgres_connection(fresh))
        answer = logged_in.get("/nearline/")
    finally:
        embedded_postgres.stop(fresh)
    assert answer.status_code == 503
    assert 'role "nearline_reader" does not exist' in html.unescape(answer.text)
    assert "make migrate" in answer.text


def test_a_login_that_may_not_read_is_said_with_the_fix(
    logged_in: TestClient, page_database: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.execute("reset role")
    connection.execute("drop role if exists page_test")
    connection.execute("create role page_test login")
    try:
        there = json.loads(postgres_connection(page_database)) | {"login": "page_test"}
        monkeypatch.setenv("AIRFLOW_CONN_NEARLINE_POSTGRES", json.dumps(there))
        answer = logged_in.get("/nearline/")
    finally:
        connection.execute("drop role page_test")
    assert answer.status_code == 503
    assert "grant nearline_reader to page_test;" in answer.text
    assert "make migrate" not in answer.text


def test_what_extra_holds_for_airflow_itself_is_not_told_to_libpq(
    logged_in: TestClient, page_database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = json.loads(postgres_connection(page_database))
    there["extra"] |= {"iam": False, "sqlalchemy_scheme": "postgresql", "connect_timeout": 60}
    monkeypatch.setenv("AIRFLOW_CONN_NEARLINE_POSTGRES", json.dumps(there))
    assert logged_in.get("/nearline/").status_code == 200


def test_a_question_that_postgres_cannot_read_is_no_defect(logged_in: TestClient, page_database: Settings) -> None:
    answer = logged_in.get("/nearline/", params={"user": "u\0"})
    assert answer.status_code == 503
    assert "NUL" in answer.text


def test_a_missing_connection_is_said(logged_in: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_NEARLINE_POSTGRES", raising=False)
    answer = logged_in.get("/nearline/")
    assert answer.status_code == 503
    assert "nearline_postgres" in answer.text


def test_shards_and_what_was_folded_are_shown(
    logged_in: TestClient, page_database: Settings, connection: Connection
) -> None:
    ledger = open_shop(connection)
    connection.execute("select nearline.record_event('u1', 'view', 'hiking-page-1')")
    ledger.step()
    connection.execute("select nearline_data._set_shards(1, 2)")
    connection.execute("select nearline.record_event('u1', 'view', 'hiking-page-2')")
    answer = logged_in.get("/nearline/", params={"user": "u1"})
    assert answer.status_code == 200
    shards = table(answer.text, "freshness")[2:]
    assert [row[0] for row in shards] == ["0 of 2", "1 of 2"]
    assert sorted(row[1] for row in shards) == ["0", "1"]
    assert sorted(row[9] for row in shards) == ["0", "1"]  # into vectors in the last hour
    assert {row[2] for row in shards if row[1] == "0"} == {"—"}
    head, first, *_ = table(answer.text, "recommendations")
    assert head[5:] == ["vector of", "newer events folded in", "lag"]
    assert (first[5][-4:], first[6]) == (" UTC", "1")
    assert re.fullmatch(r"\d+ ms|\d+\.\d s", first[7])
    assert 'href="metrics"' in answer.text


def test_versions_are_shown_with_the_disk_that_they_take(
    logged_in: TestClient, page_database: Settings, connection: Connection
) -> None:
    for version in (1, 2, 3):
        open_shop(connection, version)
    connection.execute("select nearline.record_event('u1', 'view', 'hiking-page-1')")
    InterestLedger(connection, MeanOfHistory(), 3).step()
    drop_tables(connection, 1)
    connection.execute("select nearline_data._measure_recall(3)")
    head, live, kept = table(logged_in.get("/nearline/").text, "versions")
    assert head[:7] == ["version", "state", "items", "people", "recall of its index", "tables", "indexes"]
    assert (live[:5], kept[:5]) == (["3", "live", "24", "1", "1"], ["2", "kept", "24", "0", "—"])
    assert all(re.fullmatch(r"\d+(\.\d)? kB", size) for size in live[5:7] + kept[5:7])


def table(page: str, name: str) -> list[list[str]]:
    """The words of a table of the page, row by row."""
    (body,) = re.findall(rf'<table id="{name}">(.*?)</table>', page, re.DOTALL)
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    return [[html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)] for row in rows]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "—"),
        (timedelta(milliseconds=105), "105 ms"),
        (timedelta(seconds=2.34), "2.3 s"),
        (timedelta(seconds=95), "1 min 35 s"),
        (timedelta(hours=3, minutes=20), "3 h 20 min"),
        (timedelta(days=2, hours=5), "2 days 5 h"),
        (Decimal("0.00"), "0"),
        (Decimal("12345.60"), "12,346"),
        (3.59412, "3.594"),
        (1204, "1,204"),
        (datetime(2026, 11, 22, 2, 3, 4, tzinfo=UTC), "2026-11-22 02:03:04 UTC"),
    ],
)
def test_values_are_words(value: object, words: str) -> None:
    assert shown(value) == words


def test_the_page_cannot_write(page_database: Settings, airflow_database: None) -> None:
    import psycopg

    with reader() as connection:
        assert connection.execute("select current_user as name").fetchone() == {"name": "nearline_reader"}
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("create table public.stolen ()")
    with pytest.raises(Unreadable, match="permission denied"), reader() as connection:
        connection.execute("select * from nearline_data.event")


def test_a_slow_postgres_is_said_as_such(page_database: Settings, airflow_database: None) -> None:
    def read_slowly() -> None:
        with reader() as connection:
            connection.execute("set local statement_timeout = '10ms'")
            connection.execute("select pg_sleep(1)")

    with pytest.raises(Unreadable, match="more than five seconds"):
        read_slowly()
