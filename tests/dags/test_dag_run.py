"""The nearline DAG, run by Airflow itself against a real Postgres."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from airflow.sdk import DAG

from nearline.adapters.postgres import Connection
from nearline.core.interest import LATENT
from nearline.settings import Settings
from small_shop import open_shop
from tiny_models import tiny_encoder

DAGS = Path(__file__).resolve().parents[2] / "dags"


@pytest.fixture(autouse=True)
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARLINE_DRAIN_SECONDS", "1")


def read_dag() -> DAG:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(dag_folder=str(DAGS / "nearline_interests.py"), bundle_name="dags-folder").dags["nearline_interests"]


def run_dag(**of_the_worker: str) -> str:
    """Run it as the DAG processor read it; a worker reads the file anew, in an environment of its own."""
    from airflow.sdk.execution_time import supervisor

    run = supervisor.run_task_in_process

    def run_on_worker(ti: Any, task: Any) -> Any:
        with pytest.MonkeyPatch.context() as worker:
            for name, value in of_the_worker.items():
                worker.setenv(name, value)
            return run(ti=ti, task=read_dag().get_task(task.task_id))

    dag = read_dag()
    dag.deadline = []  # dag.test() of Airflow 3.3.2 fails on one that was not read from Airflow's database
    with pytest.MonkeyPatch.context() as here:
        here.setattr(supervisor, "run_task_in_process", run_on_worker)
        return str(dag.test().state)


@pytest.mark.usefixtures("airflow_database", "settings")
def test_it_runs_before_the_first_model() -> None:
    assert run_dag() == "success"


@pytest.mark.usefixtures("airflow_database")
def test_an_event_is_in_the_vector_after_a_run(
    settings: Settings, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nearline.core.behaviour import UNKNOWN_KIND
    from nearline.models.behaviour_model import BehaviourConfig, BehaviourModel
    from nearline.models.interest_model import InterestModel
    from nearline.models.text_model import TextModel

    text = TextModel.load(tiny_encoder(tmp_path / "encoder"))
    behaviour = BehaviourModel(BehaviourConfig(text_width=text.width, kind_count=2))
    kinds = [UNKNOWN_KIND, "view"]
    folder = settings.models_folder / "1-run"  # as the small shop says
    InterestModel(text, behaviour, kinds, [], np.zeros((0, LATENT), np.float32)).save(folder)
    open_shop(connection)
    connection.execute("select nearline.record_event('u1', 'view', 'hiking-page-1')")
    connection.execute("select nearline.record_event('u1', 'search', with_text => 'hiking boots')")
    # What the DAG processor counts holds, whatever a worker was told.
    assert run_dag(NEARLINE_SHARDS="3") == "success"
    found = connection.execute("select user_id, event_count from nearline_data.user_interest").fetchall()
    assert found == [("u1", 2)]
    freshness = connection.execute("select shard, shard_count, backlog_events from nearline.freshness").fetchall()
    assert freshness == [(0, 1, 0)]

    # Divided among two tasks, everybody is served all the same.
    monkeypatch.setenv("NEARLINE_SHARDS", "2")
    people = [f"u{number}" for number in range(1, 9)]
    for user in people:
        connection.execute("select nearline.record_event(%s, 'view', 'baking-page-1')", (user,))
    assert run_dag(NEARLINE_SHARDS="3") == "success"
    written = connection.execute("select user_id from nearline_data.user_interest order by user_id").fetchall()
    assert [user for (user,) in written] == people
    freshness = connection.execute(
        "select shard, shard_count, backlog_events, events_last_hour > 0 from nearline.freshness order by shard"
    ).fetchall()
    assert freshness == [(0, 2, 0, True), (1, 2, 0, True)]
    assert map_labels() == ["shard 0", "shard 1"]


def map_labels() -> list[str]:
    """What Airflow shows beside the mapped tasks of the newest run."""
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        newest = session.scalars(select(DagRun.run_id).order_by(DagRun.id.desc())).first()
        found = session.scalars(
            select(TaskInstance).where(TaskInstance.run_id == newest).order_by(TaskInstance.map_index)
        ).all()
        return [str(task.rendered_map_index) for task in found]
