"""The nearline DAG, run by Airflow itself against a real Postgres."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nearline.adapters.postgres import Connection
from nearline.core.interest import LATENT
from nearline.settings import Settings
from small_shop import open_shop
from tiny_models import tiny_encoder

DAGS = Path(__file__).resolve().parents[2] / "dags"


@pytest.fixture(autouse=True)
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARLINE_DRAIN_SECONDS", "1")


def run_dag() -> str:
    from airflow.dag_processing.dagbag import DagBag

    dag = DagBag(dag_folder=str(DAGS / "nearline_interests.py"), bundle_name="dags-folder").dags["nearline_interests"]
    dag.deadline = []  # dag.test() of Airflow 3.3.2 fails on one that was not read from Airflow's database
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
    InterestModel(text, behaviour, kinds, [], np.zeros((0, LATENT), np.float32)).save(settings.models_folder / "1")
    open_shop(connection)
    connection.execute("select nearline.record_event('u1', 'view', 'hiking-page-1')")
    connection.execute("select nearline.record_event('u1', 'search', with_text => 'hiking boots')")
    assert run_dag() == "success"
    found = connection.execute("select user_id, event_count from nearline_data.user_interest").fetchall()
    assert found == [("u1", 2)]
    assert connection.execute("select backlog_events from nearline.freshness").fetchone() == (0,)

    # Divided among two tasks, everybody is served all the same.
    monkeypatch.setenv("NEARLINE_SHARDS", "2")
    people = [f"u{number}" for number in range(1, 9)]
    for user in people:
        connection.execute("select nearline.record_event(%s, 'view', 'baking-page-1')", (user,))
    assert run_dag() == "success"
    written = connection.execute("select user_id from nearline_data.user_interest order by user_id").fetchall()
    assert [user for (user,) in written] == people
    freshness = connection.execute(
        "select shard, shard_count, backlog_events, events_last_hour > 0 from nearline.freshness order by shard"
    ).fetchall()
    assert freshness == [(0, 2, 0, True), (1, 2, 0, True)]
    assert map_labels() == ["share 0", "share 1"]


def map_labels() -> list[str]:
    """What Airflow shows beside the mapped tasks of the newest run."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        found = session.scalars(
            select(TaskInstance).where(TaskInstance.map_index >= 0).order_by(TaskInstance.map_index)
        ).all()
        return [str(task.rendered_map_index) for task in found]
