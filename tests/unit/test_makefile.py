"""What the Makefile decides by itself: where a world's state is, and what `make clean` removes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nearline.adapters.home_folder import MARK

ROOT = Path(__file__).resolve().parents[2]


def make(folder: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("DATA", "NEARLINE_HOME")}
    answer = subprocess.run(
        ["make", "--silent", f"--file={ROOT / 'Makefile'}", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return answer.stdout.strip()


@pytest.mark.parametrize(
    ("data", "home"),
    [
        ("", ""),
        ("/x/shop", "of/shop"),
        ("/x/runs/", "of/runs"),  # not in the state's own runs/, in which housekeeping deletes
        ("models", "of/models"),
        (".", "of/{here}"),
    ],
)
def test_each_data_has_a_state_folder_of_its_own(tmp_path: Path, data: str, home: str) -> None:
    said = make(tmp_path, "--eval=show: ; @echo $(NEARLINE_HOME)", "show", f"DATA={data}")
    assert Path(said) == tmp_path / ".nearline" / home.format(here=tmp_path.name)


def test_clean_removes_the_state_of_every_data_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "jobs").symlink_to(ROOT / "jobs")
    state = tmp_path / ".nearline"
    for folder in (state, state / "of" / "runs", state / "of" / "shop"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARK).touch()
    run = f"RUN={sys.executable}"
    make(tmp_path, "clean", run, "DATA=/x/shop")
    assert sorted(path.name for path in (state / "of").iterdir()) == ["runs"]
    (state / MARK).unlink()
    (state / "of" / "mine").mkdir()
    make(tmp_path, "clean", run)
    assert [path.name for path in state.rglob("*")] == ["of", "mine"]
    (state / "of" / "mine").rmdir()
    make(tmp_path, "clean", run)
    assert not state.exists()
