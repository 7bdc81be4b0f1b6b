"""What every DAG owes the people who run it."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from pathlib import Path

import pytest
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

REPOSITORY = Path(__file__).resolve().parents[2]
DAG_FILES = sorted((REPOSITORY / "dags").glob("*.py"))
SECRETS = ("dsn", "password", "postgresql://", "NEARLINE_DSN")


@pytest.fixture(scope="module", params=DAG_FILES, ids=lambda path: path.stem)
def dag(request: pytest.FixtureRequest) -> DAG:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(request.param), bundle_name="test")
    assert bag.import_errors == {}
    assert list(bag.dags) == [request.param.stem]  # `make up` waits for DAGs by the names of their files
    return bag.dags[request.param.stem]


def test_says_what_it_is(dag: DAG) -> None:
    assert dag.description
    assert dag.doc_md
    assert dag.doc_md.strip().startswith("###")
    assert dag.tags
    assert "nearline" in dag.tags
    assert dag.owner == "nearline"
    for task in dag.tasks:
        assert f"`{task.task_id}`" in dag.doc_md or len(dag.tasks) <= 2, f"{task.task_id} is not explained"


def test_params_are_described(dag: DAG) -> None:
    for name in dag.params:
        param = dag.params.get_param(name)
        assert param.description, name
        assert param.schema.get("type"), name


def test_ends_some_time(dag: DAG) -> None:
    assert dag.dagrun_timeout is not None
    for task in dag.tasks:
        assert task.execution_timeout is not None
        assert task.execution_timeout <= dag.dagrun_timeout


def test_runs_once_at_a_time_and_never_for_the_past(dag: DAG) -> None:
    assert dag.max_active_runs == (2 if dag.dag_id in ("nearline_interests", "follow_champion") else 1)
    assert dag.catchup is False
    assert dag.start_date is None  # with one, `make up` would start a run for the last midnight


def test_retries(dag: DAG) -> None:
    for task in dag.tasks:
        if task.task_id in ("judge", "refresh_interests", "follow_champion"):
            assert task.retries == 0
        else:
            assert task.retries >= 1
            assert task.retry_exponential_backoff


def test_tasks_start_jobs_and_hold_no_secret(dag: DAG) -> None:
    for task in dag.tasks:
        assert isinstance(task, SparkSubmitOperator | BashOperator)
        if isinstance(task, SparkSubmitOperator):
            assert Path(task.application).parent == REPOSITORY / "jobs"
            said = [task.application, *task.application_args]
        else:
            assert f"{REPOSITORY}/jobs/{task.task_id}.py" in task.bash_command
            said = [task.bash_command, *task.env.values()]
        assert not [word for word in said for secret in SECRETS if secret in word]


def test_params_reach_the_jobs(dag: DAG) -> None:
    context = {"params": {"items": "I", "events": "E"}, "run_id": "manual__2026-11-21T20:04:26.676441+00:00_x"}
    allowed = {"I", "E", "--run", "manual__2026-11-21T200426.676441_0000_x"}
    for task in dag.tasks:
        words = task.application_args if isinstance(task, SparkSubmitOperator) else list(task.env.values())
        assert {task.render_template(word, context) for word in words} <= allowed


def test_shares_of_people_are_mapped_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("NEARLINE_SHARDS", "20")
    file = REPOSITORY / "dags" / "nearline_interests.py"
    dag = DagBag(dag_folder=str(file), bundle_name="test").dags["nearline_interests"]
    (task,) = dag.tasks
    assert (task.task_id, task.operator_class, task.is_mapped) == ("refresh_interests", BashOperator, True)
    assert (dag.max_active_runs, dag.max_active_tasks) == (2, 20)  # Airflow's own limit would be 16 at a time
    assert (task.retries, task.partial_kwargs["append_env"], task.partial_kwargs["skip_on_exit_code"]) == (0, True, 99)
    assert task.execution_timeout <= dag.dagrun_timeout
    assert task.partial_kwargs["bash_command"].endswith('/jobs/refresh_interests.py" "$ARGUMENT_0" "$ARGUMENT_1"')
    told = [list(env.values()) for env in task.expand_input.value["env"]]
    assert told == [["--shard", str(share)] for share in range(20)]


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.stem)
def test_no_dag_file_imports_another(path: Path) -> None:
    siblings = {other.stem for other in DAG_FILES}
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        assert not siblings & {name.split(".")[0] for name in names}
        assert not [name for name in names if name.split(".")[0] == "nearline"]


def test_a_refusal_is_a_skip_and_the_archive_is_still_written() -> None:
    from airflow.dag_processing.dagbag import DagBag

    dag = DagBag(dag_folder=str(REPOSITORY / "dags" / "daily_training.py"), bundle_name="test").dags["daily_training"]
    assert 99 in dag.get_task("judge").skip_on_exit_code
    assert dag.get_task("archive_events").trigger_rule == "none_failed"
    order = [task.task_id for task in dag.topological_sort()]
    assert order == [
        "take_snapshot", "pair_items", "finetune", "judge", "register", "embed_items", "rebuild_interests",
        "publish", "archive_events",
    ]  # fmt: skip


def test_a_new_installation_waits_for_the_next_training() -> None:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.encoders import coerce_to_core_timetable
    from airflow.timetables.base import TimeRestriction

    dag = DagBag(dag_folder=str(REPOSITORY / "dags" / "daily_training.py"), bundle_name="test").dags["daily_training"]
    first = coerce_to_core_timetable(dag.timetable).next_dagrun_info(
        last_automated_data_interval=None, restriction=TimeRestriction(earliest=None, latest=None, catchup=False)
    )
    assert first is not None
    assert first.run_after > datetime.now(UTC)
