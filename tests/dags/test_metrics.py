"""The metrics: OpenMetrics 1.0 by its rules, in base units, and helpful without a database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

import pytest
from fastapi.testclient import TestClient

from nearline.adapters.airflow_environment import postgres_connection
from nearline.adapters.postgres import Connection
from nearline.settings import Settings
from nearline_airflow.metrics import GAUGES, Gauge, exposition
from small_shop import open_shop

ROW: dict[str, Any] = {
    "model_version": 3, "shard": 0, "shard_count": 2,
    "lag_p50_ms": Decimal("105.5"), "lag_p95_ms": Decimal("200.0"), "lag_max_ms": Decimal("61000.0"),
    "lag_p95_now_ms": None, "events_per_second": Decimal("12.50"), "users_per_second": Decimal("0.02"),
    "backlog_events": 7, "backlog_age": timedelta(seconds=2, milliseconds=500), "cursor_age": timedelta(minutes=1),
    "rejected_last_hour": 4, "waiting_events": 5,
}  # fmt: skip
NOTHING: dict[str, Any] = dict.fromkeys(ROW) | {"backlog_events": 0, "rejected_last_hour": 0, "waiting_events": 0}

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)")
META = re.compile(rf"# (TYPE|UNIT|HELP) ({NAME}) (.+)")


def samples(text: str) -> dict[str, float]:
    """The samples of an exposition that follows the rules: a failure names the line that does not."""
    assert text.endswith("# EOF\n")
    lines = text.split("\n")
    assert lines.pop() == ""
    assert lines.pop() == "# EOF"
    found: dict[str, float] = {}
    families = []
    for line in lines:
        if meta := META.fullmatch(line):
            families.append((meta[2], meta[1], meta[3]))
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample, line
            key = line.rsplit(" ", 1)[0]
            assert key not in found, line
            found[key] = float(sample[3])
            families.append((sample[1], "sample", ""))  # a gauge's samples have the family's own name
    blocks = [(name, list(block)) for name, block in groupby(families, key=lambda part: part[0])]
    assert len({name for name, _ in blocks}) == len(blocks), "families are contiguous"
    for name, block in blocks:
        kinds = [kind for _, kind, _ in block]
        meta_kinds = [kind for kind in kinds if kind != "sample"]
        assert kinds == meta_kinds + ["sample"] * (len(kinds) - len(meta_kinds)), f"{name}: metadata comes first"
        assert sorted(meta_kinds) == sorted(set(meta_kinds)), f"{name}: one line of each sort"
        said = {kind: text for _, kind, text in block}
        assert said["TYPE"] == "gauge"
        assert said["HELP"]
        assert "UNIT" not in said or name.endswith(f"_{said['UNIT']}")
        assert len(kinds) > len(meta_kinds), f"{name}: no sample"
    return found


def test_one_line_for_each_share_in_base_units() -> None:
    found = samples(exposition([ROW, ROW | {"shard": 1, "backlog_events": 0, "backlog_age": None}]))
    assert found['nearline_lag_p50_seconds{shard="0"}'] == 0.1055
    assert found['nearline_lag_max_seconds{shard="1"}'] == 61.0
    assert found['nearline_backlog_events{shard="0"}'] == 7
    assert found['nearline_backlog_age_seconds{shard="0"}'] == 2.5
    assert found['nearline_backlog_age_seconds{shard="1"}'] == 0
    assert found['nearline_events_per_second{shard="0"}'] == 12.5
    assert found['nearline_cursor_age_seconds{shard="0"}'] == 60
    assert not [name for name in found if "last_minute" in name]  # null: nothing came
    assert {name: value for name, value in found.items() if "{" not in name} == {
        "nearline_live_model_version": 3, "nearline_rejected_rows_last_hour": 4, "nearline_waiting_events": 5
    }  # fmt: skip


def test_before_the_first_model_only_what_has_a_value() -> None:
    assert samples(exposition([NOTHING])) == {"nearline_rejected_rows_last_hour": 0, "nearline_waiting_events": 0}


def test_nothing_at_all_is_an_exposition_too() -> None:
    assert exposition([]) == "# EOF\n"


def test_hostile_labels_and_helps_stay_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    gauge = Gauge("nearline_x", "", "backlog_events", 'a "quoted"\nback\\slash')
    monkeypatch.setattr("nearline_airflow.metrics.GAUGES", (gauge,))
    text = exposition([{"shard": 'a"} 1\n# EOF\n\\', "backlog_events": 1}])
    assert samples(text) == {r'nearline_x{shard="a\"} 1\n# EOF\n\\"}': 1}
    assert r"# HELP nearline_x a \"quoted\"\nback\\slash" in text


def test_every_gauge_is_a_column_and_explained(connection: Connection) -> None:
    columns = {
        column.name
        for column in connection.execute("select f.*, null as cursor_age from nearline.freshness f").description or []
    }
    assert {gauge.column for gauge in GAUGES} <= columns
    assert len({gauge.name for gauge in GAUGES}) == len(GAUGES)


@pytest.fixture
def bearer(client: TestClient, token: str) -> Iterator[TestClient]:
    """As Prometheus asks: with a token in a header, without cookies."""
    client.headers["Authorization"] = f"Bearer {token}"
    yield client
    del client.headers["Authorization"]


def test_anonymous_is_refused(client: TestClient) -> None:
    assert client.get("/nearline/metrics").status_code == 401


def test_a_scraper_needs_a_login_and_no_permission(
    client: TestClient, token_of_guest: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_NEARLINE_POSTGRES", postgres_connection(settings))
    bearer = {"Authorization": f"Bearer {token_of_guest}"}
    assert client.get("/nearline/metrics", headers=bearer).status_code == 200


def test_metrics_of_the_database(
    bearer: TestClient, settings: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_NEARLINE_POSTGRES", postgres_connection(settings))
    before = bearer.get("/nearline/metrics")
    assert before.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert samples(before.text) == {"nearline_rejected_rows_last_hour": 0, "nearline_waiting_events": 0}

    ledger = open_shop(connection)
    connection.execute("select nearline.record_event('u1', 'view', 'hiking-page-1')")
    ledger.step()
    connection.execute("select nearline.record_event('u1', 'view', 'hiking-page-2')")
    after = samples(bearer.get("/nearline/metrics").text)
    assert after["nearline_live_model_version"] == 1
    assert after['nearline_backlog_events{shard="0"}'] == 1
    assert 0 < after['nearline_backlog_age_seconds{shard="0"}'] < 60
    assert 0 < after['nearline_lag_p50_seconds{shard="0"}'] < 60
    assert after['nearline_lag_p95_last_minute_seconds{shard="0"}'] > 0
    assert after['nearline_users_per_second{shard="0"}'] > 0

    connection.execute("select nearline_data._set_shards(1, 2)")
    divided = samples(bearer.get("/nearline/metrics").text)
    assert divided['nearline_backlog_events{shard="0"}'] + divided['nearline_backlog_events{shard="1"}'] == 1


def test_a_stopped_postgres_is_503_in_words(bearer: TestClient, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_NEARLINE_POSTGRES", postgres_connection(Settings(home=tmp_path)))
    answer = bearer.get("/nearline/metrics")
    assert answer.status_code == 503
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.strip() == (
        "Postgres (Airflow's connection nearline_postgres) does not answer. See that it runs and that the connection is"
        " right (local stack: make up)."
    )
