"""What chaos, and reading for it, has found so far: each as short as it shows."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import psycopg

from chaos.invariants import vectors_from_ledger
from chaos.shop import Shop, wait_until
from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.new_items import NewItems
from nearline.core.behaviour import History
from small_shop import MeanOfHistory, open_shop


def test_events_that_make_their_own_partition_are_read(shop: Shop) -> None:
    """A statement is planned before it takes its snapshot: of a partition that was attached in between it saw no row,
    and the position said that the transaction was read.
    """
    years = range(1971, 2015)

    def write() -> None:
        with shop.connect() as writer:
            for year in years:
                writer.execute(
                    "select nearline.record_event(%s, 'view', 'hiking-page-1', happened_at => %s)",
                    (f"u{year}", f"{year}-06-01Z"),
                )

    with shop.connect() as connection:
        ledger = InterestLedger(connection, MeanOfHistory(), 1)
        writing = threading.Thread(target=write)
        writing.start()
        counted = 0
        while writing.is_alive():
            counted += ledger.step().events
        writing.join()
        counted += ledger.catch_up()
        assert connection.execute("select count(*) from nearline_data.event").fetchone() == (len(years),)
    assert counted == len(years)


def test_a_transaction_left_open_that_added_a_partition_holds_nobody_up(shop: Shop) -> None:
    """The refresh waited for its lock, to be sure that it had told of the partition; nobody can see that one yet."""
    with shop.connect() as connection, shop.connect() as left_open, shop.connect() as writer:
        connection.execute("set statement_timeout = '5s'")
        with left_open.transaction():
            old = "select nearline.record_event('u1', 'view', 'hiking-page-1', happened_at => '1999-06-01Z')"
            left_open.execute(old)
            writer.execute("select nearline.record_event('u2', 'view', 'hiking-page-1')")
            ledger = InterestLedger(connection, MeanOfHistory(), 1)
            assert ledger.catch_up() == 1
        assert ledger.catch_up() == 1


def test_two_writers_need_the_same_new_partition(shop: Shop) -> None:
    """to_regclass answered what it knew before it waited for the other one, and the event was refused."""
    failed: list[psycopg.Error] = []

    def write(connection: psycopg.Connection, event_id: str) -> None:
        try:
            connection.execute(
                """select nearline.record_event(
                       'u1', 'view', 'hiking-page-1', happened_at => '2001-06-01Z', with_id => %s)""",
                (event_id,),
            )
        except psycopg.Error as problem:
            failed.append(problem)

    with shop.connect() as first, shop.connect() as second:
        late = threading.Thread(target=write, args=(second, "second"))
        with first.transaction():
            write(first, "first")
            late.start()
            wait_until(lambda: waits_for_lock(shop), "the second writer does not wait for the first")
        late.join()
    assert failed == []


def test_an_item_that_comes_between_rebuild_and_flip(shop: Shop) -> None:
    """People wait for a vector of each version: the live one took the row away that the next one needed."""
    with shop.connect() as connection:
        old = InterestLedger(connection, MeanOfHistory(), 1)
        record(connection, "u1", "hiking-page-1", "late")
        old.catch_up()
        new = open_shop(connection, 2, live=False)
        bring(connection, "late")
        assert NewItems(old).take() == 1
        new.catch_up_and(lambda: connection.execute("select nearline_data._promote(2, 'test', 'test')") and None)
        NewItems(new).take()
        new.catch_up()
        stored = connection.execute("select vector from nearline_data.user_interest where model_version = 2").fetchone()
        assert stored is not None
        assert np.array_equal(stored[0], vectors_from_ledger(connection, 2)["u1"][0])


def test_an_erased_person_waits_for_nothing(shop: Shop) -> None:
    """The refresh that was at them meanwhile wrote that they wait, and the one that undid it left that row."""
    with shop.connect() as connection, shop.connect() as other:
        record(connection, "u1", "hiking-page-1", "late")

        class ErasesMeanwhile(MeanOfHistory):
            def interests(self, histories: Sequence[History]) -> np.ndarray:
                other.execute("select nearline.erase_user('u1')")
                return super().interests(histories)

        InterestLedger(connection, ErasesMeanwhile(), 1).step()
        InterestLedger(connection, MeanOfHistory(), 1).catch_up()
        assert connection.execute("select * from nearline_data.user_interest").fetchall() == []
        assert connection.execute("select * from nearline_data.waiting_event").fetchall() == []


def test_somebody_who_was_erased_and_came_back_waits_for_nothing_of_before(shop: Shop) -> None:
    """As above, and new events of theirs are there when the next refresh undoes what the one before wrote."""
    with shop.connect() as connection, shop.connect() as other:
        record(connection, "u1", "hiking-page-1", "late")

        class ErasesMeanwhile(MeanOfHistory):
            def interests(self, histories: Sequence[History]) -> np.ndarray:
                other.execute("select nearline.erase_user('u1')")
                record(other, "u1", "hiking-page-2")
                return super().interests(histories)

        InterestLedger(connection, ErasesMeanwhile(), 1).step()
        InterestLedger(connection, MeanOfHistory(), 1).catch_up()
        assert connection.execute("select * from nearline_data.waiting_event").fetchall() == []


def test_a_version_that_begins_disturbs_no_refresh(shop: Shop) -> None:
    """Making its tables kept readers from one parent after the other, while they came the other way: a deadlock."""
    failed: list[BaseException] = []
    with shop.connect() as reader:

        def begin_version() -> None:
            try:
                with shop.connect() as builder:
                    builder.execute("select nearline_data._create_version_partitions(2)")
            except psycopg.Error as problem:
                failed.append(problem)

        building = threading.Thread(target=begin_version)
        try:
            with reader.transaction():
                reader.execute("select from nearline_data.user_interest")  # as stored_positions does
                building.start()
                wait_until(lambda: waits_for_lock(shop) or not building.is_alive(), "the version is not begun")
                reader.execute("select from nearline_data.item_embedding")  # as histories does
        except psycopg.errors.DeadlockDetected as problem:
            failed.append(problem)
        building.join()
    assert failed == []


def test_an_erasure_and_an_item_that_comes(shop: Shop) -> None:
    """Each locked one of a person's two rows and waited for the other one's: a deadlock."""
    failed: list[BaseException] = []

    def erase() -> None:
        try:
            with shop.connect() as other:
                other.execute("select nearline.erase_user('u1')")
        except psycopg.Error as problem:
            failed.append(problem)

    erasing = threading.Thread(target=erase)

    class IsOvertaken(MeanOfHistory):
        def interests(self, histories: Sequence[History]) -> np.ndarray:
            erasing.start()
            wait_until(lambda: waits_for_lock(shop) or not erasing.is_alive(), "nobody is erased")
            return super().interests(histories)

    with shop.connect() as connection:
        record(connection, "u1", "hiking-page-1", "late")
        InterestLedger(connection, MeanOfHistory(), 1).step()
        bring(connection, "late")
        try:
            NewItems(InterestLedger(connection, IsOvertaken(), 1)).take()
        except psycopg.errors.DeadlockDetected as problem:
            failed.append(problem)
        erasing.join()
    assert failed == []


def test_a_transaction_that_has_been_open_for_long_can_still_record(shop: Shop) -> None:
    """recorded_at was when the transaction began, and after five minutes every event lay too far ahead of it."""
    with shop.connect() as connection, connection.transaction():
        connection.execute("select pg_sleep(0.3)")
        connection.execute(
            """select nearline.record_event('u1', 'view', 'hiking-page-1',
                                            happened_at => clock_timestamp() + interval '299.9 seconds')"""
        )


def test_a_connection_lost_at_the_end(shop: Shop) -> None:
    """All was done, and a run that could not read its summary ended with a traceback."""
    shop.write(1, most=20).join()
    run = shop.run("--once", lose_at="run_summary:1:before")
    assert run.wait() == 0 or run.error()


def test_people_are_divided_anew_in_the_middle_of_a_replay(shop: Shop) -> None:
    """It ends in order, whether it goes on or says that it must be started again."""
    with shop.connect() as connection:
        for number in range(40):
            record(connection, f"u{number}", "hiking-page-1")
    assert shop.run("--once").wait() == 0
    replay = shop.run("--rebuild", people=1)
    wait_until(lambda: "1 of 40 people" in replay.said(), "nothing is computed anew")
    assert shop.divide_for(1).wait() == 0
    assert replay.wait() == 0 or replay.error()


def test_an_erased_person_is_in_no_older_version(shop: Shop) -> None:
    """The refresh that was at them wrote their vector, and died; then another version went live."""
    with shop.connect() as connection, shop.connect() as other:
        record(connection, "u1", "hiking-page-1")
        new = open_shop(other, 2, live=False)

        class ErasesMeanwhile(MeanOfHistory):
            def interests(self, histories: Sequence[History]) -> np.ndarray:
                other.execute("select nearline.erase_user('u1')")
                return super().interests(histories)

        InterestLedger(connection, ErasesMeanwhile(), 1).step()
        new.catch_up_and(lambda: other.execute("select nearline_data._promote(2, 'test', 'test')") and None)
        connection.execute("update nearline_data.erased_user set erased_at = now() - interval '2 days'")
        connection.execute("select nearline_data._keep_house()")
        assert connection.execute("select model_version, user_id from nearline_data.user_interest").fetchall() == []


def test_a_comment_on_an_unknown_item_waits(shop: Shop) -> None:
    """As the reader says, as training leaves it out, and as it was before vectors were asked for by name."""
    with shop.connect() as connection:
        record(connection, "u1", "hiking-page-1")
        connection.execute("select nearline.record_event('u1', 'comment', 'late', with_text => 'good for baking')")
        InterestLedger(connection, MeanOfHistory(), 1).catch_up()
        stored = connection.execute("select event_count, vector from nearline_data.user_interest").fetchone()
        assert stored is not None
        assert stored[0] == 1
        assert np.array_equal(stored[1], vectors_from_ledger(connection, 1)["u1"][0])


def record(connection: psycopg.Connection, user: str, *items: str) -> None:
    for item in items:
        connection.execute("select nearline.record_event(%s, 'view', %s)", (user, item))


def bring(connection: psycopg.Connection, item: str) -> None:
    connection.execute(
        "insert into nearline_data.item (item_id, kind, title) values (%s, 'page', 'A baking page that came late')",
        (item,),
    )


def waits_for_lock(shop: Shop) -> bool:
    """Whether some session waits for another one."""
    with suppress(psycopg.OperationalError), shop.administer() as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        ).fetchone()
        return row is not None and row[0] > 0
    return False
