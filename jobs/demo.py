"""The whole path once, for real: load, train and publish by the DAGs, then tell one person's story in SQL.

python jobs/demo.py
python jobs/demo.py --data ../data/ml-latest-small
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nearline.adapters import local_stack, stack_servers, stack_status
from nearline.adapters.home_folder import prepare_home
from nearline.adapters.memory_watch import MemoryWatch
from nearline.adapters.postgres import connect
from nearline.adapters.story import Story
from nearline.errors import InputError, run_job
from nearline.settings import Settings
from nearline.stages import Stages

JOBS = Path(__file__).resolve().parent


def main(argv: list[str] | None = None) -> int:
    """Run the demo and write ``demo.json`` into the state folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with items and events, or a MovieLens folder (default: none)")
    parser.add_argument("--people", type=int, default=500, help="people in the built-in world")
    parser.add_argument("--items", type=int, default=600, help="items in the built-in world")
    arguments = parser.parse_args(argv)
    if arguments.data is None:
        # The built-in world's texts say all there is to say: to tune them four times as long would only take longer.
        os.environ.setdefault("NEARLINE_TEXT_STEPS", "40")
    settings = Settings.from_env()
    if settings.airflow_url is not None:
        raise InputError(
            f"NEARLINE_AIRFLOW_URL: expected none, as the demo has an Airflow of its own, saw {settings.airflow_url!r}."
            " Fix: unset it, or trigger ingest_files and daily_training in your Airflow."
        )
    stages = Stages()
    started_here = not stack_status.is_up(settings)
    with MemoryWatch(settings) as watch:
        try:
            preparing = _prepare(settings, arguments)
            if started_here:
                stages.begin("Starting Postgres, MLflow and Airflow")
                local_stack.up(settings)
            folder = preparing()
            api = stack_servers.airflow_api(settings)
            for dag, conf in (
                ("ingest_files", {"items": str(_file(folder, "items")), "events": str(_file(folder, "events"))}),
                ("daily_training", {}),
            ):
                stages.begin(f"Airflow runs the DAG {dag}")
                run = api.trigger(dag, conf)
                api.wait(dag, run, timeout=3600, on_change=_show_task(time.monotonic()), on_log=_show_line)
            stages.begin("The story")
            with connect(settings, autocommit=True) as connection:
                story = Story(connection).tell()
        finally:
            stages.end()
            if started_here:
                local_stack.down(settings, say=lambda _: None)
    total = stages.elapsed()
    print(f"Done in {total:.0f} seconds; the whole stack held {watch.peak / 2**30:.1f} GB of memory at its peak.")
    print("`make up` starts the servers again, with all of this in them.")
    _write(
        settings, story | {"seconds": stages.seconds, "total_seconds": round(total, 1), "peak_memory_bytes": watch.peak}
    )
    return 0


def _prepare(settings: Settings, arguments: argparse.Namespace) -> Any:
    """Begin to make the data while the servers start; returns what waits for it and gives its folder."""
    data, out = arguments.data, settings.home / "data"
    if data is not None and not (data / "ratings.csv").exists():
        folder = data.resolve()
        for name in ("items", "events"):
            _file(folder, name)
        return lambda: folder
    if data is None and (out / "events.parquet").exists():
        return lambda: out  # the world of the last time: its people have a past in the ledger
    command = [str(JOBS / "load_movielens.py"), str(data), "--out", str(out)]
    if data is None:
        command = [str(JOBS / "make_world.py"), "--out", str(out), "--people", str(arguments.people)]
        command += ["--items", str(arguments.items), "--seed", str(settings.seed)]
    prepare_home(settings)
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def wait() -> Path:
        said, _ = process.communicate()
        if process.returncode:
            raise InputError(f"The data could not be made:\n{said}")
        print(said.strip())
        return out

    return wait


def _file(folder: Path, name: str) -> Path:
    for candidate in sorted(folder.glob(f"{name}*")):
        if candidate.suffix in (".parquet", ".csv", ".jsonl", "") and candidate.stem == name:
            return candidate
    seen = ", ".join(sorted(path.name for path in folder.glob("*"))[:10]) if folder.is_dir() else "no such folder"
    raise InputError(
        f"--data {folder}: expected {name}.parquet, .csv or .jsonl (or MovieLens' ratings.csv), saw: {seen}. "
        "Fix: name a folder that holds items and events."
    )


def _show_task(began: float) -> Any:
    def show(task: str, state: str) -> None:
        if state in ("success", "failed", "skipped", "running", "up_for_retry"):
            print(f"  {time.monotonic() - began:5.0f} s  {task:<20} {state}", flush=True)

    return show


def _show_line(line: str) -> None:
    """Show what our own jobs say of their progress; the rest of a task's log is for when it fails."""
    if found := re.match(r"(?:\d\d:\d\d:\d\d )?nearline\.\w+: (.*)", line):
        print(f"           {found[1][:140]}", flush=True)


def _write(settings: Settings, story: dict[str, Any]) -> None:
    path = settings.home / "demo.json"
    about = {"finished_at": datetime.now(UTC).isoformat(timespec="seconds"), "cores": os.cpu_count()}
    path.write_text(json.dumps(about | story, indent=1, ensure_ascii=False, default=str))
    print(f"The same for machines: {path}")


if __name__ == "__main__":
    run_job(main)
