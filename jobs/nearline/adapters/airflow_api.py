"""Airflow's public REST API, the few calls that `make up` and the demo need."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from nearline.errors import StackError

LOG_POLLS = 5
"""A running task's log is read at each fifth poll only: reading it costs the API server more than a state does."""


class AirflowApi:
    """One Airflow, as one user.

    Parameters
    ----------
    url
        Address of the API server, without a trailing slash.
    user, password
        Login of the simple auth manager. The password goes into the body of one request and nowhere else.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self._login = {"username": user, "password": password}
        self._token: str | None = None
        # This Airflow is on this machine: a proxy that the environment names must not see the login.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def health(self) -> dict[str, bool]:
        """Whether each component is healthy; all False while the API server does not answer."""
        try:
            found = self._call("GET", "/api/v2/monitor/health", token=False)
        except StackError:
            found = {}
        return {
            name: (found.get(key) or {}).get("status") == "healthy"
            for name, key in (
                ("api-server", "metadatabase"),
                ("scheduler", "scheduler"),
                ("dag-processor", "dag_processor"),
                ("triggerer", "triggerer"),
            )
        }

    def dag_ids(self) -> set[str]:
        """The DAGs that Airflow has parsed."""
        return {dag["dag_id"] for dag in self._call("GET", "/api/v2/dags?limit=100")["dags"]}

    def import_errors(self) -> list[str]:
        """Why DAG files could not be parsed, one text a file."""
        found = self._call("GET", "/api/v2/importErrors")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace']}" for error in found]

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Start a run of ``dag_id`` with the params in ``conf``; returns the run's id."""
        body = {"logical_date": None, "conf": conf or {}}
        return str(self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """State of a run: queued, running, success or failed."""
        return str(self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{_quoted(run_id)}")["state"])

    def run_starts(self, dag_id: str) -> list[float]:
        """When the newest 100 runs of ``dag_id`` started, seconds since 1970, the oldest first."""
        found = self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns?limit=100&order_by=-start_date")["dag_runs"]
        return sorted(datetime.fromisoformat(run["start_date"]).timestamp() for run in found if run["start_date"])

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """State of each task of a run, "none" before it is scheduled."""
        found = self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances?limit=100")
        return {task["task_id"]: task["state"] or "none" for task in found["task_instances"]}

    def wait(
        self,
        dag_id: str,
        run_id: str,
        *,
        timeout: float,
        on_change: Callable[[str, str], None] | None = None,
        on_log: Callable[[str], None] | None = None,
    ) -> dict[str, str]:
        """Wait for a run to end and return the states of its tasks.

        Parameters
        ----------
        timeout
            Seconds.
        on_change
            Called with a task's id and its new state, each time one changes.
        on_log
            Called with each line that a running task writes, some seconds later.

        Raises
        ------
        StackError
            When the run fails or is not over in time.
        """
        seen: dict[str, str] = {}
        told: dict[str, int] = {}
        unanswered = 0
        polls = 0
        end = time.monotonic() + timeout
        while True:
            try:
                state = self.run_state(dag_id, run_id)
                tasks = self.task_states(dag_id, run_id)
                unanswered = 0
            except StackError:  # a machine that is busy training may let a question wait for too long
                unanswered += 1
                if unanswered > 5:
                    raise
                time.sleep(2.0)
                continue
            for task, task_state in tasks.items():
                changed = seen.get(task) != task_state
                ended = changed and seen.get(task) == "running"
                if changed and task_state == "running":
                    told[task] = 0  # each try has a log of its own
                if on_log is not None and (ended or (task_state == "running" and polls % LOG_POLLS == 0)):
                    with suppress(StackError):  # a log that cannot be had now may be had the next time
                        lines = self.task_log(dag_id, run_id, task)
                        for line in lines[told.get(task, 0) :]:
                            on_log(line)
                        told[task] = len(lines)
                if on_change is not None and changed:
                    on_change(task, task_state)
            seen = tasks
            polls += 1
            if state == "success":
                return tasks
            if state == "failed":
                failed = [task for task, task_state in tasks.items() if task_state == "failed"]
                texts = [f"{task}:\n  " + "\n  ".join(self.task_log(dag_id, run_id, task)[-30:]) for task in failed[:2]]
                raise StackError(f"The run {run_id} of {dag_id} failed in {', '.join(failed)}.\n" + "\n".join(texts))
            if time.monotonic() > end:
                raise StackError(
                    f"The run {run_id} of {dag_id} was not over after {timeout:.0f} seconds; its tasks: {tasks}. "
                    f"Fix: look at {self.url}/dags/{dag_id}."
                )
            time.sleep(1.0)

    def task_log(self, dag_id: str, run_id: str, task_id: str) -> list[str]:
        """All lines that a task has written, in its newest try."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances/{task_id}"
        try_number = self._call("GET", path)["try_number"]
        content = self._call("GET", f"{path}/logs/{try_number}")["content"]
        return [str(item.get("event", "") if isinstance(item, dict) else item) for item in content]

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None, *, token: bool = True) -> Any:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            if self._token is None:
                self._token = str(self._call("POST", "/auth/token", self._login, token=False)["access_token"])
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)
        try:
            with self._opener.open(request, timeout=20) as response:
                return json.load(response)
        except urllib.error.HTTPError as problem:
            if token and problem.code == 401:  # a token lives for a day; a stack may live for longer
                self._token = None
            detail = problem.read().decode(errors="replace")[:500]
            raise StackError(f"Airflow answered {method} {path} with {problem.code}: {detail}") from None
        except (OSError, ValueError) as problem:
            raise StackError(f"Airflow at {self.url} does not answer ({problem}). Fix: `make up`.") from None


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")
