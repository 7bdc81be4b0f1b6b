"""What every DAG owes the people who run it."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG
from jinja2 import Template

from nearline.adapters.airflow_environment import airflow_environment
from nearline.settings import Settings

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


def unmapped(task: Any) -> Any:
    """A mapped task as its first instance."""
    return task.unmap({"env": task.expand_input.value["env"][0]}) if task.is_mapped else task


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
        if task.task_id in ("refresh_interests", "follow_champion"):
            assert task.retries == 0
        else:
            assert task.retries >= 1
            assert task.retry_exponential_backoff


def test_tasks_start_jobs_and_hold_no_secret(dag: DAG) -> None:
    for task in map(unmapped, dag.tasks):
        assert isinstance(task, SparkSubmitOperator | BashOperator)
        if isinstance(task, SparkSubmitOperator):
            assert Path(task.application).parent == REPOSITORY / "jobs"
            said = [task.application, *task.application_args]
        else:
            assert f"{REPOSITORY}/jobs/{task.task_id}.py" in task.bash_command
            said = [task.bash_command, *task.env.values()]
        assert not [word for word in said for secret in SECRETS if secret in word]


def test_params_reach_the_jobs(dag: DAG) -> None:
    context = {
        "params": {"items": "I", "events": "E", "afresh": True},
        "run_id": "manual__2026-11-21T20:04:26.676441+00:00_x",
    }
    allowed = {"I", "E", "--start", "afresh", "--run", "manual__2026-11-21T200426.676441_0000_x"}
    for task in dag.tasks:
        if task.is_mapped:
            continue  # test_dag_run reads what such a task is told
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
    words = '"$ARGUMENT_0" "$ARGUMENT_1" "$ARGUMENT_2" "$ARGUMENT_3"'
    assert task.partial_kwargs["bash_command"].endswith(f'/jobs/refresh_interests.py" {words}')
    assert len(task.expand_input.value["env"]) == 20


def test_the_refresh_goes_first_where_tasks_wait_for_a_slot() -> None:
    from airflow.dag_processing.dagbag import DagBag

    bags = {file.stem: DagBag(dag_folder=str(file), bundle_name="test").dags[file.stem] for file in DAG_FILES}
    # A task counts at most as much as it and all that follow it in its DAG.
    most = {name: sum(task.priority_weight for task in dag.tasks) for name, dag in bags.items()}
    assert most.pop("nearline_interests") > max(most.values())


def test_the_local_airflow_has_a_slot_for_all_that_may_run_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("NEARLINE_SHARDS", "3")
    slots = 0
    for file in DAG_FILES:
        dag = DagBag(dag_folder=str(file), bundle_name="test").dags[file.stem]
        at_once = 3 if dag.dag_id == "nearline_interests" else 1  # the tasks of any other follow each other
        slots += dag.max_active_runs * at_once
    environment = airflow_environment(Settings(home=tmp_path, shards=3))
    assert environment["AIRFLOW__CORE__PARALLELISM"] == str(slots)


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
    assert dag.get_task("judge").execution_timeout == dag.get_task("finetune").execution_timeout  # both read all texts
    assert dag.get_task("archive_events").trigger_rule == "none_failed"
    rendered = dag.get_task("finetune").application_args[-1]
    for afresh, said in ((True, "afresh"), (False, "champion")):
        assert Template(rendered).render(params={"afresh": afresh}) == said
    assert not dag.params["afresh"], "unless somebody says so"
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
