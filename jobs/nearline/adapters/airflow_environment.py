"""The environment variables that make Airflow, and the jobs its tasks start, Nearline's own.

Everything is said in variables: nothing secret is in an argument list, and no file of a user's Airflow is touched.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from nearline.adapters import embedded_postgres, spark
from nearline.adapters.home_folder import write_private
from nearline.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[3]
USER = "admin"


def airflow_home(settings: Settings) -> Path:
    """Airflow's own folder."""
    return settings.home / "airflow"


def local_environment(settings: Settings) -> dict[str, str]:
    """What every server of the local stack gets: this environment, `settings` as variables, and no telemetry."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NEARLINE_", "AIRFLOW_"))}
    ours = {
        f.metadata["variable"]: json.dumps(value) if isinstance(value, Mapping) else str(value)
        for f in fields(settings)
        if (value := getattr(settings, f.name)) is not None
    }
    programs = [str(Path(sys.executable).parent), os.environ.get("PATH", ""), os.defpath]
    return {
        **kept,
        **ours,
        "PATH": os.pathsep.join(filter(None, programs)),
        "PYTHONUNBUFFERED": "1",
        **dict.fromkeys(("NO_PROXY", "no_proxy"), _no_proxy()),
        # glibc keeps a heap for each thread; a handful is enough and saves about 100 MB.
        "MALLOC_ARENA_MAX": "2",
        "DO_NOT_TRACK": "true",
        "SCARF_ANALYTICS": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


def _no_proxy() -> str:
    """Hosts that are asked without a proxy: those that were named, and this machine, where our servers are."""
    named = f"{os.environ.get('NO_PROXY', '')},{os.environ.get('no_proxy', '')}".split(",")
    hosts = dict.fromkeys([*filter(None, map(str.strip, named)), "127.0.0.1", "localhost"])
    return "*" if "*" in hosts else ",".join(hosts)  # a star counts only by itself


def mlflow_environment(settings: Settings) -> dict[str, str]:
    """Environment of the local MLflow server."""
    return {
        **local_environment(settings),
        "MLFLOW_BACKEND_STORE_URI": mlflow_store(settings),
        # Jobs of MLflow's own (LLM judges, trace roll-ups) would start more processes; Nearline has none.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def mlflow_store(settings: Settings) -> str:
    """Where the local MLflow keeps its tables; holds no password."""
    return _sqlalchemy_url(settings, "mlflow")


def airflow_environment(settings: Settings) -> dict[str, str]:
    """Environment of the local Airflow and so of every task it runs."""
    home = airflow_home(settings)
    keys = _keys(home / "keys.json")
    address = f"http://127.0.0.1:{settings.airflow_port}"
    variables = {
        "CORE__DAGS_FOLDER": REPOSITORY / "dags",
        "CORE__PLUGINS_FOLDER": REPOSITORY / "plugins",
        "CORE__EXECUTOR": "LocalExecutor",
        # A slot for all that may run at once: two runs of nearline_interests while one takes over from the other, two
        # of follow_champion (one may load for hours), and one each of the training, the ingest and the housekeeping.
        "CORE__PARALLELISM": 2 * settings.shards + 5,
        "CORE__LOAD_EXAMPLES": False,
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": False,  # a DAG that someone pauses later stays paused
        "CORE__FERNET_KEY": keys["fernet"],
        "CORE__HOSTNAME_CALLABLE": "platform.node",  # the default asks a name server
        "CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": home / "passwords.json",
        # With psycopg 3 the asset graph of Airflow 3.3 fails: it compares jsonb with a bound varchar.
        "DATABASE__SQL_ALCHEMY_CONN": _sqlalchemy_url(settings, "airflow", driver="psycopg2"),
        "DATABASE__SQL_ALCHEMY_CONN_ASYNC": _sqlalchemy_url(settings, "airflow"),
        "DATABASE__LOAD_DEFAULT_CONNECTIONS": False,
        "LOGGING__BASE_LOG_FOLDER": settings.logs_folder / "airflow",
        "API__HOST": "127.0.0.1",
        "API__PORT": settings.airflow_port,
        "API__BASE_URL": address,
        "API__WORKERS": 1,
        "API__SECRET_KEY": keys["secret"],
        "API__INSTANCE_NAME": "Nearline",
        "API_AUTH__JWT_SECRET": keys["jwt"],
        "DAG_PROCESSOR__PARSING_PROCESSES": 1,
        "DAG_PROCESSOR__REFRESH_INTERVAL": 15,
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 30,
        "USAGE_DATA_COLLECTION__ENABLED": False,
    }
    return {
        **local_environment(settings),
        **{f"AIRFLOW__{name}": str(value) for name, value in variables.items()},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONN_NEARLINE_POSTGRES": postgres_connection(settings),
        "AIRFLOW_CONN_NEARLINE_SPARK": json.dumps({"conn_type": "spark", "host": settings.spark_master}),
        "JAVA_HOME": str(spark.java_home(settings)),
        "SPARK_CONF_DIR": str(_spark_defaults(settings)),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
    }


def password(settings: Settings) -> str:
    """Password of Airflow's user `USER`, made up at the first call and kept in a file that only its owner reads."""
    path = airflow_home(settings) / "passwords.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, json.dumps({USER: secrets.token_urlsafe(12)}) + "\n")
    return str(json.loads(path.read_text())[USER])


def _keys(path: Path) -> dict[str, str]:
    """Keys that all parts of Airflow share, made up once: with new ones it could not read what it has encrypted."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fernet = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        write_private(
            path, json.dumps({"fernet": fernet, "secret": secrets.token_urlsafe(32), "jwt": secrets.token_urlsafe(64)})
        )
    return dict(json.loads(path.read_text()))


def _spark_defaults(settings: Settings) -> Path:
    """Write what every spark-submit of a task is to know, and return its folder."""
    folder = settings.home / "spark" / "conf"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{name} {value}\n" for name, value in spark.configuration(settings).items()]
    (folder / "spark-defaults.conf").write_text("".join(lines), encoding="utf-8")
    return folder


def _sqlalchemy_url(settings: Settings, database: str, driver: str = "psycopg") -> str:
    return embedded_postgres.dsn(settings, database).replace("postgresql://", f"postgresql+{driver}://", 1)


def postgres_connection(settings: Settings) -> str:
    """Airflow's connection ``nearline_postgres``, as JSON."""
    parts = conninfo_to_dict(settings.dsn or embedded_postgres.dsn(settings))
    places = {"host": "host", "port": "port", "user": "login", "password": "password", "dbname": "schema"}
    connection = {places[name]: value for name, value in parts.items() if name in places}
    extra = {name: value for name, value in parts.items() if name not in places}
    return json.dumps({"conn_type": "postgres", **connection, "extra": extra})
