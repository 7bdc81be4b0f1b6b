"""The alert of nearline_interests: Airflow sees a run miss its deadline, and what it calls then says what waits."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from nearline.adapters.airflow_environment import postgres_connection
from nearline.adapters.postgres import Connection
from nearline.settings import Settings
from nearline_airflow.alerts import say_how_far_behind
from small_shop import open_shop

REPOSITORY = Path(__file__).resolve().parents[2]
CONTEXT = {
    "dag_run": {"dag_run_id": "scheduled__2026-11-22T02:00:00", "state": "running"},
    "deadline": {"id": "0", "deadline_time": datetime(2026, 11, 22, 2, 3, 45, tzinfo=UTC)},
}


@pytest.fixture
def behind(settings: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two shards of people, one event unread; Airflow knows the database."""
    open_shop(connection)
    connection.execute("select nearline_data._set_shards(1, 2)")
    connection.execute("select nearline.record_event('u1', 'view', 'hiking-page-1')")
    monkeypatch.setenv("AIRFLOW_CONN_NEARLINE_POSTGRES", postgres_connection(settings))


class Posts(list[tuple[str, dict[str, str], Any]]):
    """What a webhook got, and what it answers."""

    status = 200


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Posts]:
    posts = Posts()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posts.append((self.path, dict(self.headers), json.loads(body)))
            self.send_response(posts.status)
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    there = {"conn_type": "http", "host": f"http://127.0.0.1:{server.server_port}/hook", "extra": {"X-Key": "k"}}
    monkeypatch.setenv("AIRFLOW_CONN_NEARLINE_ALERTS", json.dumps(there))
    yield posts
    server.shutdown()
    thread.join()
    server.server_close()


def say(context: dict[str, Any]) -> None:
    asyncio.run(say_how_far_behind(context))


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


@pytest.mark.usefixtures("airflow_database", "behind")
def test_without_a_webhook_the_log_says_it(caplog: pytest.LogCaptureFixture) -> None:
    say(CONTEXT)
    first, *shards = lines(caplog)
    assert first == (
        "nearline_interests: run scheduled__2026-11-22T02:00:00 was to end well by 2026-11-22 02:03:45 UTC;"
        " its state: running."
    )
    assert [shard[:13] for shard in shards] == ["Shard 0 of 2:", "Shard 1 of 2:"]
    assert sorted(shard.split(", the oldest for ")[0][14:] for shard in shards) == [
        "0 events unread",
        "1 events unread",
    ]
    assert all("95th percentile of the lag: — in the last minute" in shard for shard in shards)


@pytest.mark.usefixtures("airflow_database", "behind")
def test_a_webhook_gets_the_same(webhook: Posts, caplog: pytest.LogCaptureFixture) -> None:
    say(CONTEXT)
    ((path, headers, body),) = webhook
    assert (path, headers["Content-Type"], headers["X-Key"]) == ("/hook", "application/json", "k")
    assert body == {"text": "\n".join(lines(caplog))}


@pytest.mark.usefixtures("airflow_database", "behind")
def test_a_connection_in_parts_is_read_as_airflow_does(webhook: Posts, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(json.loads(os.environ["AIRFLOW_CONN_NEARLINE_ALERTS"])["host"].split(":")[2].split("/")[0])
    parts = {"conn_type": "http", "host": "127.0.0.1", "port": port, "login": "ada", "password": "p", "extra": {"n": 1}}
    monkeypatch.setenv("AIRFLOW_CONN_NEARLINE_ALERTS", json.dumps(parts))
    say(CONTEXT)
    assert webhook[0][1]["Authorization"] == "Basic YWRhOnA="


@pytest.mark.usefixtures("airflow_database", "behind")
def test_a_webhook_that_refuses_is_a_failed_callback(webhook: Posts, caplog: pytest.LogCaptureFixture) -> None:
    webhook.status = 500
    with pytest.raises(RuntimeError, match=r"nearline_alerts: the alert could not be posted \(HTTP Error 500"):
        say(CONTEXT)
    assert len(lines(caplog)) == 3  # the log has it all the same


@pytest.mark.usefixtures("airflow_database")
def test_a_stopped_postgres_is_what_it_says(
    webhook: Posts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_NEARLINE_POSTGRES", postgres_connection(Settings(home=tmp_path)))
    say(CONTEXT)
    assert "does not answer" in lines(caplog)[1]
    assert "does not answer" in webhook[0][2]["text"]


@pytest.fixture
def run_id(airflow_database: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A run of the DAG in Airflow's database; the DAG is paused, so that the scheduler does nothing else with it."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType
    from sqlalchemy import delete

    monkeypatch.setenv("NEARLINE_DRAIN_SECONDS", "100")
    monkeypatch.setenv("NEARLINE_LAG_BUDGET", "20")
    DagBundlesManager().sync_bundles_to_db()
    file = REPOSITORY / "dags" / "nearline_interests.py"
    bag = DagBag(dag_folder=str(file), bundle_name="dags-folder", bundle_path=file.parent)
    sync_bag_to_db(bag, "dags-folder", None)
    now = datetime.now(UTC)
    name = f"manual__{now.isoformat()}"
    with create_session() as session:
        session.get_one(DagModel, "nearline_interests").is_paused = True
        dag = SerializedDagModel.get_dag("nearline_interests", session=session)
        dag.create_dagrun(
            run_id=name,
            run_after=now,
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.QUEUED,
            session=session,
        )
    yield name
    with create_session() as session:
        session.execute(delete(DagRun).where(DagRun.run_id == name))


def deadline_of(run_id: str, session: Any) -> Any:
    from airflow.models.dagrun import DagRun
    from airflow.models.deadline import Deadline
    from sqlalchemy import select

    return session.scalars(select(Deadline).join(DagRun).where(DagRun.run_id == run_id)).one()


def one_loop_of_the_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Airflow's scheduler does all the time, once."""
    from airflow.executors.base_executor import BaseExecutor
    from airflow.jobs.job import Job, run_job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

    class Executor(BaseExecutor):
        """Starts nothing."""

        def end(self) -> None:
            pass

    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")  # the scheduler sets it, and leaves it
    job, executor = Job(), Executor()
    run_job(job, SchedulerJobRunner(job, num_runs=1, executors=[executor])._execute)
    assert not executor.queued_tasks


def called(run_id: str) -> list[tuple[str, dict[str, Any]]]:
    """What the triggerer is to start for the run's deadline: the class of a trigger, and its arguments."""
    from airflow.utils.session import create_session

    with create_session() as session:
        deadline = deadline_of(run_id, session)
        trigger = deadline.callback.trigger
        assert deadline.missed is (trigger is not None)
        return [(trigger.classpath, trigger.kwargs)] if trigger else []


def test_a_run_has_its_deadline(run_id: str) -> None:
    from airflow.utils.session import create_session

    with create_session() as session:
        deadline = deadline_of(run_id, session)
        assert deadline.deadline_time - deadline.dagrun.queued_at == timedelta(seconds=15 + 30 + 100 + 20)
        assert deadline.callback.data["path"] == "nearline_airflow.alerts.say_how_far_behind"


def test_a_run_that_ends_well_in_time_has_none_any_more(run_id: str) -> None:
    from airflow.models.dagrun import DagRun
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState, TaskInstanceState
    from sqlalchemy import select

    with create_session() as session:
        run = session.scalars(select(DagRun).where(DagRun.run_id == run_id)).one()
        assert len(run.deadlines) == 1
        run.dag = SerializedDagModel.get_dag("nearline_interests", session=session)
        run.state = DagRunState.RUNNING
        for task in run.get_task_instances(session=session):
            task.state = TaskInstanceState.SUCCESS
        session.flush()
        run.update_state(session=session)  # as the scheduler does
        assert (run.state, run.deadlines) == (DagRunState.SUCCESS, [])


@pytest.mark.usefixtures("behind")
def test_airflow_calls_when_the_deadline_is_missed(
    run_id: str, webhook: Posts, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.triggers.callback import CallbackTrigger
    from airflow.utils.session import create_session

    one_loop_of_the_scheduler(monkeypatch)
    assert called(run_id) == []
    with create_session() as session:
        deadline_of(run_id, session).deadline_time = datetime.now(UTC) - timedelta(seconds=1)
    one_loop_of_the_scheduler(monkeypatch)
    ((trigger, arguments),) = called(run_id)
    assert trigger == "airflow.triggers.callback.CallbackTrigger"

    async def run() -> list[str]:  # as the triggerer does
        return [event.payload["state"] async for event in CallbackTrigger(**arguments).run()]

    assert asyncio.run(run()) == ["running", "success"]
    ((_, _, body),) = webhook
    assert f"run {run_id} was to end well by" in body["text"]
    assert "its state: queued.\nShard 0 of 2:" in body["text"]
