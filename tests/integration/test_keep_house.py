"""What else would grow for ever beside the database: what killed Sparks left, and the logs of the local servers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import keep_house
from nearline.adapters.postgres import Connection, connect, queries
from nearline.settings import Settings


def test_what_killed_sparks_left_is_removed_after_a_day(settings: Settings) -> None:
    scratch = settings.home / "spark"
    for name, days in (("blockmgr-old", 2), ("spark-old", 2), ("spark-new", 0), ("conf", 2)):
        (scratch / name / "0a").mkdir(parents=True)
        (scratch / name / "0a" / "shuffle.data").write_bytes(b"1")
        os.utime(scratch / name, (time.time(), time.time() - days * 86_400))
    (scratch / "log4j2.properties").write_text("")
    assert keep_house.main([]) == 0
    assert {path.name for path in scratch.iterdir()} == {"spark-new", "conf", "log4j2.properties"}


def test_old_models_go_and_what_is_being_fetched_stays(settings: Settings) -> None:
    settings.models_folder.mkdir()
    for number in range(7):
        (settings.models_folder / f"{number}-run").mkdir()
        os.utime(settings.models_folder / f"{number}-run", (1_000 * number, 1_000 * number))
    for name, days in ((".8-run.fetching", 0), (".7-run.killed", 2)):
        (settings.models_folder / name).mkdir()
        os.utime(settings.models_folder / name, (time.time(), time.time() - days * 86_400))
    (settings.models_folder / "notes.txt").write_text("mine")
    assert keep_house.main([]) == 0
    left = {path.name for path in settings.models_folder.iterdir()}
    assert left == {*(f"{number}-run" for number in range(2, 7)), ".8-run.fetching", "notes.txt"}


def test_a_server_goes_on_at_the_end_of_its_log_that_was_cut(settings: Settings) -> None:
    settings.logs_folder.mkdir()
    short, long = settings.logs_folder / "mlflow.log", settings.logs_folder / "scheduler.log"
    short.write_text("a line\n")
    with open(long, "wb") as file:
        file.write(b"%099d\n" % 0 * (keep_house.LOG_BYTES // 100 + 1))
    with open(long, "ab") as log:  # as Server.start does
        server = subprocess.Popen(
            [sys.executable, "-c", "print('before', flush=True); input(); print('after', flush=True)"],
            stdin=subprocess.PIPE, stdout=log,
        )  # fmt: skip
    while not long.read_bytes().endswith(b"before\n"):
        assert server.poll() is None
        time.sleep(0.01)
    assert keep_house.main([]) == 0
    server.communicate(b"\n")
    text = long.read_bytes()
    assert keep_house.LOG_BYTES_KEPT - 100 < len(text) < keep_house.LOG_BYTES_KEPT + 100
    assert text.startswith(b"%099d\n" % 0)
    assert text.endswith(b"%099d\nbefore\nafter\n" % 0)
    assert short.read_text() == "a line\n"


def test_an_event_of_a_month_without_a_partition_does_not_wait_for_housekeeping(
    settings: Settings, connection: Connection
) -> None:
    """Whoever adds a partition keeps others from adding one until the end of the transaction."""
    connection.execute(
        """insert into nearline_data.refresh_batch (model_version, event_count, user_count, lag_ms, finished_at)
           values (1, 1, 1, '{1}', now() - interval '2 days')"""
    )
    with connect(settings, role=None, autocommit=True) as owner:
        ahead = "select to_char(now() + interval '3 months', '\"nearline_data.event_\"YYYY_MM')"
        owner.execute(f"drop table {(owner.execute(ahead).fetchone() or ('',))[0]}")
    with connect(settings, autocommit=True) as at_work, connect(settings) as holder:
        holder.execute("select from nearline_data.refresh_batch for update")
        keeping = threading.Thread(target=at_work.execute, args=("select nearline_data._keep_house()",))
        keeping.start()
        while not connection.execute("select from pg_locks where not granted").fetchall():
            time.sleep(0.01)
        connection.execute("set lock_timeout = '1s'")
        connection.execute(
            "select nearline.record_event('u', 'search', with_text => 'x', happened_at => '2003-01-01Z')"
        )
        holder.rollback()
        keeping.join()
    assert connection.execute(ahead.replace("to_char(", "to_regclass(to_char(") + ") is not null").fetchone() == (True,)


def test_what_killed_loads_left_goes_and_what_a_load_works_on_stays(settings: Settings, connection: Connection) -> None:
    with connect(settings, autocommit=True) as killed, connect(settings, autocommit=True) as at_work:
        for load in (killed, at_work):
            name = f"staging_event_{'killed' if load is killed else 'at_work'}"
            load.execute(f"create unlogged table nearline_load.{name} (content text)")
            assert load.execute(queries("ingest")["lock"], {"name": name}).fetchone() == (True,)
        killed.close()
        assert keep_house.main([]) == 0
        left = connection.execute(
            "select relname from pg_class where relnamespace = 'nearline_load'::regnamespace and relkind = 'r'"
        ).fetchall()
    assert left == [("staging_event_at_work",)]
