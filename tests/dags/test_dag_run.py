"""The nearline DAG, run by Airflow itself against a real Postgres."""

from __future__ import annotations

from pathlib import Path

from nearline.settings import Settings

DAGS = Path(__file__).resolve().parents[2] / "dags"


def test_nearline_runs_before_the_first_model(settings: Settings, airflow_database: None) -> None:
    from airflow.dag_processing.dagbag import DagBag

    dag = DagBag(dag_folder=str(DAGS / "nearline_interests.py"), bundle_name="dags-folder").dags["nearline_interests"]
    run = dag.test()
    assert str(run.state) == "success"
